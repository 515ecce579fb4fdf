"""The tables of workflows, of their runs' steps, and of kept results, beside those of `serve.storage.tables`."""

from sqlalchemy import BigInteger, Column, Float, Index, Integer, String, Table, Text

from serve.storage.metering_tables import metadata as metadata
from serve.storage.tables import ID, NAME, Json, OrderedJson

DIGEST = String(71)
LABEL = String(80)
NODE_TYPE = String(120)

workflows = Table(
    "workflows",
    metadata,
    Column("tenant", NAME, primary_key=True),
    Column("name", NAME, primary_key=True),
    Column("title", String(120), nullable=False),
    Column("draft", Text, nullable=False),
    Column("draft_digest", DIGEST, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("last_version", Integer, nullable=False),
    Column("managed_by", String(16), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Column("updated_by", String(36), nullable=False),
)
"""`draft` is the whole document as JSON; `revision` counts its changes."""

workflow_versions = Table(
    "workflow_versions",
    metadata,
    Column("tenant", NAME, primary_key=True),
    Column("name", NAME, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("digest", DIGEST, nullable=False),
    Column("note", String(400), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("created_by", String(36), nullable=False),
    Column("deleted_ms", BigInteger),
    Index(None, "tenant", "digest"),
)

workflow_aliases = Table(
    "workflow_aliases",
    metadata,
    Column("tenant", NAME, primary_key=True),
    Column("name", NAME, primary_key=True),
    Column("alias", NAME, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("previous", Integer),
    Column("updated_ms", BigInteger, nullable=False),
    Column("updated_by", String(36), nullable=False),
)

workflow_documents = Table(
    "workflow_documents",
    metadata,
    Column("tenant", NAME, primary_key=True),
    Column("digest", DIGEST, primary_key=True),
    Column("body", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("used_ms", BigInteger, nullable=False),
)
"""What versions and runs execute, by digest, for ever the same; what neither needs goes after a while. The digest is of
the body: meaning, words and layout."""

run_steps = Table(
    "run_steps",
    metadata,
    Column("run_id", ID, primary_key=True),
    Column("label", LABEL, primary_key=True),
    Column("type", NODE_TYPE, nullable=False),
    Column("status", String(16), nullable=False),
    Column("key", String(64)),
    Column("outputs", OrderedJson),
    Column("error", Json),
    Column("reason", String(400)),
    Column("tries", Integer, nullable=False),
    Column("started_ms", BigInteger),
    Column("finished_ms", BigInteger),
    Column("usage", Json),
    Column("cost_nano", BigInteger),
)

workflow_results = Table(
    "workflow_results",
    metadata,
    Column("tenant", NAME, primary_key=True),
    Column("key", String(64), primary_key=True),
    Column("outputs", OrderedJson, nullable=False),
    Column("assets", Json, nullable=False),
    Column("num_bytes", BigInteger, nullable=False),
    Column("run_id", ID, nullable=False),
    Column("label", LABEL, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("used_ms", BigInteger, nullable=False),
    Index(None, "tenant", "used_ms"),
    Index(None, "used_ms"),
    Index(None, "run_id"),
)
"""Kept results by Merkle key. Their assets are those of the run that made them, and go with it."""

step_history = Table(
    "step_history",
    metadata,
    Column("tenant", NAME, primary_key=True),
    Column("type", NODE_TYPE, primary_key=True),
    Column("num", Float, nullable=False),
    Column("work", Float, nullable=False),
    Column("work2", Float, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("seconds_work", Float, nullable=False),
    Column("units", Json, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
)
"""Decayed sums over the steps of a type: how long they took, by how much work they were, and what they consumed."""
