"""The tables of the ledger, of prices, budgets and credit, and of rate limits, beside those of `serve.storage.tables`.

Money is whole nano-dollars in `*_nano`. An empty string in `project`, `key_id` or `tenant` means all of them.
"""

from typing import Any

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table

from serve.domain.usage import UNITS
from serve.storage.tables import ID, NAME, Json
from serve.storage.tables import metadata as metadata

KEY_ID = String(24)
DIGEST = String(71)
USAGE_ID = String(160)
SOURCE = String(200)
NUM_TAGS = 5
"""Declared tag keys: each is a column of the roll-up."""


def _units() -> list[Column[Any]]:
    return [Column(unit, BigInteger, nullable=False, server_default="0") for unit in UNITS]


usage_events = Table(
    "usage_events",
    metadata,
    Column("id", USAGE_ID, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("corrects", USAGE_ID),
    Column("request_id", ID, nullable=False),
    Column("source", SOURCE, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("tenant", NAME, nullable=False),
    Column("project", NAME, nullable=False),
    Column("key_id", KEY_ID, nullable=False),
    Column("model", NAME, nullable=False),
    Column("task", String(40), nullable=False),
    Column("adapters", Json, nullable=False),
    Column("run_id", ID),
    Column("workflow", String(90), nullable=False),
    Column("node", String(80), nullable=False),
    Column("tags", Json, nullable=False),
    Column("status", String(16), nullable=False),
    Column("basis", String(16), nullable=False),
    Column("billable", Integer, nullable=False),
    Column("reason", String(40)),
    *_units(),
    Column("price", DIGEST),
    Column("cost_nano", BigInteger),
    Column("free_nano", BigInteger, nullable=False),
    Column("credit_nano", BigInteger, nullable=False),
    Column("hold", ID),
    Column("reserved_nano", BigInteger, nullable=False),
    Column("admitted_ms", BigInteger, nullable=False),
    Column("started_ms", BigInteger, nullable=False),
    Column("duration_ms", BigInteger, nullable=False),
    Column("booked_ms", BigInteger, nullable=False),
    Column("payload_sha256", String(64), nullable=False),
    Index(None, "tenant", "admitted_ms", "id"),
    Index(None, "source", "seq"),
    Index(None, "request_id"),
    Index(None, "corrects"),
    Index(None, "model", "admitted_ms"),
    Index(None, "booked_ms"),
)

usage_hours = Table(
    "usage_hours",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("hour_ms", BigInteger, nullable=False),
    Column("tenant", NAME, nullable=False),
    Column("project", NAME, nullable=False),
    Column("key_id", KEY_ID, nullable=False),
    Column("model", NAME, nullable=False),
    Column("adapters", String(400), nullable=False),
    Column("workflow", String(90), nullable=False),
    Column("node", String(80), nullable=False),
    *[Column(f"tag{i}", String(64), nullable=False) for i in range(1, NUM_TAGS + 1)],
    *_units(),
    Column("cost_nano", BigInteger, nullable=False),
    Column("free_nano", BigInteger, nullable=False),
    Column("credit_nano", BigInteger, nullable=False),
    Column("num_attempts", BigInteger, nullable=False),
    Column("num_canceled", BigInteger, nullable=False),
    Column("num_failed", BigInteger, nullable=False),
    Column("num_lost", BigInteger, nullable=False),
    Column("num_unbilled", BigInteger, nullable=False),
    Column("num_estimated", BigInteger, nullable=False),
    Column("num_unpriced", BigInteger, nullable=False),
    Index(None, "tenant", "hour_ms"),
    Index(None, "hour_ms"),
)

usage_sources = Table(
    "usage_sources",
    metadata,
    Column("source", SOURCE, primary_key=True),
    Column("is_witness", Integer, nullable=False),
    Column("model", NAME, nullable=False),
    Column("started_ms", BigInteger, nullable=False),
    Column("reported_ms", BigInteger, nullable=False),
    Column("last_seq", BigInteger, nullable=False),
    Column("booked_seq", BigInteger, nullable=False),
    Column("cumulative", Json, nullable=False),
    Column("booked", Json, nullable=False),
    Column("counters", Json, nullable=False),
    Column("num_open", Integer, nullable=False),
    Column("oldest_open_ms", BigInteger),
    Column("gaps", Json, nullable=False),
    Column("closed", Integer, nullable=False),
    Column("killed", Integer, nullable=False),
    Index(None, "reported_ms"),
)

usage_witnesses = Table(
    "usage_witnesses",
    metadata,
    Column("id", USAGE_ID, primary_key=True),
    Column("event", Json, nullable=False),
    Column("received_ms", BigInteger, nullable=False),
    Column("due_ms", BigInteger, nullable=False),
    Index(None, "due_ms"),
)

usage_conflicts = Table(
    "usage_conflicts",
    metadata,
    Column("id", USAGE_ID, primary_key=True),
    Column("payload_sha256", String(64), primary_key=True),
    Column("source", SOURCE, nullable=False),
    Column("event", Json, nullable=False),
    Column("reason", String(200), nullable=False),
    Column("received_ms", BigInteger, nullable=False),
    Column("resolved_ms", BigInteger),
    Index(None, "received_ms"),
)

price_versions = Table(
    "price_versions",
    metadata,
    Column("id", DIGEST, primary_key=True),
    Column("model", NAME, nullable=False),
    Column("tenant", NAME, nullable=False),
    Column("effective_ms", BigInteger, nullable=False),
    Column("body", Json, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("created_by", String(80), nullable=False),
    Index(None, "model", "tenant", "effective_ms"),
)

free_usage = Table(
    "free_usage",
    metadata,
    Column("tenant", NAME, primary_key=True),
    Column("model", NAME, primary_key=True),
    Column("month_ms", BigInteger, primary_key=True),
    Column("unit", String(40), primary_key=True),
    Column("used", BigInteger, nullable=False),
)

budgets = Table(
    "budgets",
    metadata,
    Column("id", ID, primary_key=True),
    Column("tenant", NAME, nullable=False),
    Column("project", NAME, nullable=False),
    Column("key_id", KEY_ID, nullable=False),
    Column("title", String(120), nullable=False),
    Column("period", String(8), nullable=False),
    Column("limit_nano", BigInteger),
    Column("soft_nano", BigInteger),
    Column("set_by", String(8), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Column("deleted_ms", BigInteger),
    Index(None, "tenant"),
)

budget_accounts = Table(
    "budget_accounts",
    metadata,
    Column("budget_id", ID, primary_key=True),
    Column("period_ms", BigInteger, primary_key=True),
    Column("spent_nano", BigInteger, nullable=False),
    Column("held_nano", BigInteger, nullable=False),
)

holds = Table(
    "holds",
    metadata,
    Column("id", ID, primary_key=True),
    Column("kind", String(8), nullable=False),
    Column("owner", String(80), nullable=False),
    Column("tenant", NAME, nullable=False),
    Column("project", NAME, nullable=False),
    Column("key_id", KEY_ID, nullable=False),
    Column("run_id", ID),
    Column("granted_nano", BigInteger, nullable=False),
    Column("remaining_nano", BigInteger, nullable=False),
    Column("state", String(8), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("recalled_ms", BigInteger),
    Index(None, "owner"),
    Index(None, "run_id"),
    Index(None, "state", "expires_ms"),
)

hold_accounts = Table(
    "hold_accounts",
    metadata,
    Column("hold_id", ID, primary_key=True),
    Column("budget_id", ID, primary_key=True),
    Column("period_ms", BigInteger, primary_key=True),
    Index(None, "budget_id", "period_ms"),
)

grants = Table(
    "grants",
    metadata,
    Column("id", ID, primary_key=True),
    Column("tenant", NAME, nullable=False),
    Column("amount_nano", BigInteger, nullable=False),
    Column("remaining_nano", BigInteger, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("note", String(200), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("starts_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger),
    Column("voided_ms", BigInteger),
    Index(None, "tenant"),
)

rate_buckets = Table(
    "rate_buckets",
    metadata,
    Column("scope", String(160), primary_key=True),
    Column("unit", String(16), primary_key=True),
    Column("slots", Json, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Index(None, "updated_ms"),
)

free_draws = Table(
    "free_draws",
    metadata,
    Column("usage_id", USAGE_ID, primary_key=True),
    Column("unit", String(40), primary_key=True),
    Column("amount", BigInteger, nullable=False),
)

usage_reviews = Table(
    "usage_reviews",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("source", SOURCE, nullable=False),
    Column("what", String(400), nullable=False),
    Column("note", String(200), nullable=False),
    Column("reviewed_by", String(80), nullable=False),
    Column("reviewed_ms", BigInteger, nullable=False),
    Index(None, "source"),
)

key_makers = Table(
    "key_makers",
    metadata,
    Column("key_id", KEY_ID, primary_key=True),
    Column("maker", KEY_ID, primary_key=True),
    Index(None, "maker"),
)
