"""Metering: usage, prices, budgets, credit and rate limits; people, their sessions and their roles."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
UNITS = (
    "prompt_tokens",
    "cached_prompt_tokens",
    "completion_tokens",
    "images",
    "pixels",
    "steps",
    "pixel_steps",
    "input_images",
    "audio_ms",
    "video_ms",
    "gpu_ms",
)
TAGS = ("tag1", "tag2", "tag3", "tag4", "tag5")


def upgrade() -> None:
    _add_columns()
    _create_users()
    _create_members()
    _create_sessions()
    _create_logins()
    _create_usage_events()
    _create_usage_hours()
    _create_usage_sources()
    _create_usage_witnesses()
    _create_usage_conflicts()
    _create_price_versions()
    _create_free_usage()
    _create_budgets()
    _create_budget_accounts()
    _create_holds()
    _create_hold_accounts()
    _create_grants()
    _create_rate_buckets()
    _create_free_draws()
    _create_key_makers()
    _create_usage_reviews()


def downgrade() -> None:
    op.drop_table("usage_reviews")
    op.drop_table("key_makers")
    op.drop_table("free_draws")
    op.drop_table("rate_buckets")
    op.drop_table("grants")
    op.drop_table("hold_accounts")
    op.drop_table("holds")
    op.drop_table("budget_accounts")
    op.drop_table("budgets")
    op.drop_table("free_usage")
    op.drop_table("price_versions")
    op.drop_table("usage_conflicts")
    op.drop_table("usage_witnesses")
    op.drop_table("usage_sources")
    op.drop_table("usage_hours")
    op.drop_table("usage_events")
    op.drop_table("logins")
    op.drop_table("sessions")
    op.drop_table("members")
    op.drop_table("users")
    op.drop_column("tenants", "billing")
    op.drop_column("tenants", "limits")
    op.drop_column("projects", "limits")
    op.drop_column("keys", "models")
    op.drop_column("keys", "limits")
    op.drop_column("keys", "replaced_by")
    op.drop_column("keys", "made_by")
    op.drop_column("keys", "family")
    op.drop_column("runs", "price")
    op.drop_column("runs", "hold")
    op.drop_column("runs", "reserved_nano")
    op.drop_column("runs", "cost_nano")
    op.drop_column("runs", "tags")
    op.drop_column("runs", "trace")


def _units() -> list[sa.Column[int]]:
    return [sa.Column(unit, sa.BigInteger(), nullable=False, server_default="0") for unit in UNITS]


def _add_columns() -> None:
    op.add_column("tenants", sa.Column("billing", sa.String(8), nullable=False, server_default="postpaid"))
    op.add_column("tenants", sa.Column("limits", JSON))
    op.add_column("projects", sa.Column("limits", JSON))
    op.add_column("keys", sa.Column("models", JSON))
    op.add_column("keys", sa.Column("limits", JSON))
    op.add_column("keys", sa.Column("replaced_by", sa.String(24)))
    op.add_column("keys", sa.Column("made_by", sa.String(24)))
    op.add_column("keys", sa.Column("family", sa.String(24)))
    op.add_column("runs", sa.Column("price", sa.String(71)))
    op.add_column("runs", sa.Column("hold", sa.String(36)))
    op.add_column("runs", sa.Column("reserved_nano", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("runs", sa.Column("cost_nano", sa.BigInteger()))
    op.add_column("runs", sa.Column("tags", JSON))
    op.add_column("runs", sa.Column("trace", sa.String(55)))


def _create_users() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("issuer", sa.String(400), nullable=False),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("email", sa.String(320), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_login_ms", sa.BigInteger(), nullable=False),
        sa.Column("admin_by", sa.String(16)),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
    )
    op.create_index("uq_users_issuer_subject", "users", ["issuer", "subject"], unique=True)


def _create_members() -> None:
    op.create_table(
        "members",
        sa.Column("tenant", sa.String(40), nullable=False),
        sa.Column("user_id", sa.String(36), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("granted_by", sa.String(16), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.name"], name=op.f("fk_members_tenant_tenants")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_members_user_id_users")),
        sa.PrimaryKeyConstraint("tenant", "user_id", name=op.f("pk_members")),
    )
    op.create_index(op.f("ix_members_user_id"), "members", ["user_id"])


def _create_sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("user_id", sa.String(36), nullable=False),
        sa.Column("csrf", sa.String(64), nullable=False),
        sa.Column("tenant", sa.String(40)),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("seen_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("id_token", sa.Text()),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_sessions_user_id_users")),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_sessions")),
    )
    op.create_index(op.f("ix_sessions_expires_ms"), "sessions", ["expires_ms"])
    op.create_index(op.f("ix_sessions_user_id"), "sessions", ["user_id"])


def _create_logins() -> None:
    op.create_table(
        "logins",
        sa.Column("state_sha256", sa.String(64), nullable=False),
        sa.Column("nonce", sa.String(64), nullable=False),
        sa.Column("verifier", sa.String(128), nullable=False),
        sa.Column("return_to", sa.String(400), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("state_sha256", name=op.f("pk_logins")),
    )
    op.create_index(op.f("ix_logins_expires_ms"), "logins", ["expires_ms"])


def _create_usage_events() -> None:
    op.create_table(
        "usage_events",
        sa.Column("id", sa.String(160), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("corrects", sa.String(160)),
        sa.Column("request_id", sa.String(36), nullable=False),
        sa.Column("source", sa.String(200), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("tenant", sa.String(40), nullable=False),
        sa.Column("project", sa.String(40), nullable=False),
        sa.Column("key_id", sa.String(24), nullable=False),
        sa.Column("model", sa.String(40), nullable=False),
        sa.Column("task", sa.String(40), nullable=False),
        sa.Column("adapters", JSON, nullable=False),
        sa.Column("run_id", sa.String(36)),
        sa.Column("workflow", sa.String(90), nullable=False),
        sa.Column("node", sa.String(80), nullable=False),
        sa.Column("tags", JSON, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("basis", sa.String(16), nullable=False),
        sa.Column("billable", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(40)),
        *_units(),
        sa.Column("price", sa.String(71)),
        sa.Column("cost_nano", sa.BigInteger()),
        sa.Column("free_nano", sa.BigInteger(), nullable=False),
        sa.Column("credit_nano", sa.BigInteger(), nullable=False),
        sa.Column("hold", sa.String(36)),
        sa.Column("reserved_nano", sa.BigInteger(), nullable=False),
        sa.Column("admitted_ms", sa.BigInteger(), nullable=False),
        sa.Column("started_ms", sa.BigInteger(), nullable=False),
        sa.Column("duration_ms", sa.BigInteger(), nullable=False),
        sa.Column("booked_ms", sa.BigInteger(), nullable=False),
        sa.Column("payload_sha256", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_usage_events")),
    )
    op.create_index(op.f("ix_usage_events_booked_ms"), "usage_events", ["booked_ms"])
    op.create_index(op.f("ix_usage_events_corrects"), "usage_events", ["corrects"])
    op.create_index(op.f("ix_usage_events_model_admitted_ms"), "usage_events", ["model", "admitted_ms"])
    op.create_index(op.f("ix_usage_events_request_id"), "usage_events", ["request_id"])
    op.create_index(op.f("ix_usage_events_source_seq"), "usage_events", ["source", "seq"])
    op.create_index(op.f("ix_usage_events_tenant_admitted_ms_id"), "usage_events", ["tenant", "admitted_ms", "id"])


def _create_usage_hours() -> None:
    op.create_table(
        "usage_hours",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("hour_ms", sa.BigInteger(), nullable=False),
        sa.Column("tenant", sa.String(40), nullable=False),
        sa.Column("project", sa.String(40), nullable=False),
        sa.Column("key_id", sa.String(24), nullable=False),
        sa.Column("model", sa.String(40), nullable=False),
        sa.Column("adapters", sa.String(400), nullable=False),
        sa.Column("workflow", sa.String(90), nullable=False),
        sa.Column("node", sa.String(80), nullable=False),
        *[sa.Column(tag, sa.String(64), nullable=False) for tag in TAGS],
        *_units(),
        sa.Column("cost_nano", sa.BigInteger(), nullable=False),
        sa.Column("free_nano", sa.BigInteger(), nullable=False),
        sa.Column("credit_nano", sa.BigInteger(), nullable=False),
        sa.Column("num_attempts", sa.BigInteger(), nullable=False),
        sa.Column("num_canceled", sa.BigInteger(), nullable=False),
        sa.Column("num_failed", sa.BigInteger(), nullable=False),
        sa.Column("num_lost", sa.BigInteger(), nullable=False),
        sa.Column("num_unbilled", sa.BigInteger(), nullable=False),
        sa.Column("num_estimated", sa.BigInteger(), nullable=False),
        sa.Column("num_unpriced", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_usage_hours")),
    )
    op.create_index(op.f("ix_usage_hours_hour_ms"), "usage_hours", ["hour_ms"])
    op.create_index(op.f("ix_usage_hours_tenant_hour_ms"), "usage_hours", ["tenant", "hour_ms"])


def _create_usage_sources() -> None:
    op.create_table(
        "usage_sources",
        sa.Column("source", sa.String(200), nullable=False),
        sa.Column("is_witness", sa.Integer(), nullable=False),
        sa.Column("model", sa.String(40), nullable=False),
        sa.Column("started_ms", sa.BigInteger(), nullable=False),
        sa.Column("reported_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.Column("booked_seq", sa.BigInteger(), nullable=False),
        sa.Column("cumulative", JSON, nullable=False),
        sa.Column("booked", JSON, nullable=False),
        sa.Column("counters", JSON, nullable=False),
        sa.Column("num_open", sa.Integer(), nullable=False),
        sa.Column("oldest_open_ms", sa.BigInteger()),
        sa.Column("gaps", JSON, nullable=False),
        sa.Column("closed", sa.Integer(), nullable=False),
        sa.Column("killed", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("source", name=op.f("pk_usage_sources")),
    )
    op.create_index(op.f("ix_usage_sources_reported_ms"), "usage_sources", ["reported_ms"])


def _create_usage_witnesses() -> None:
    op.create_table(
        "usage_witnesses",
        sa.Column("id", sa.String(160), nullable=False),
        sa.Column("event", JSON, nullable=False),
        sa.Column("received_ms", sa.BigInteger(), nullable=False),
        sa.Column("due_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_usage_witnesses")),
    )
    op.create_index(op.f("ix_usage_witnesses_due_ms"), "usage_witnesses", ["due_ms"])


def _create_usage_conflicts() -> None:
    op.create_table(
        "usage_conflicts",
        sa.Column("id", sa.String(160), nullable=False),
        sa.Column("payload_sha256", sa.String(64), nullable=False),
        sa.Column("source", sa.String(200), nullable=False),
        sa.Column("event", JSON, nullable=False),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column("received_ms", sa.BigInteger(), nullable=False),
        sa.Column("resolved_ms", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", "payload_sha256", name=op.f("pk_usage_conflicts")),
    )
    op.create_index(op.f("ix_usage_conflicts_received_ms"), "usage_conflicts", ["received_ms"])


def _create_price_versions() -> None:
    op.create_table(
        "price_versions",
        sa.Column("id", sa.String(71), nullable=False),
        sa.Column("model", sa.String(40), nullable=False),
        sa.Column("tenant", sa.String(40), nullable=False),
        sa.Column("effective_ms", sa.BigInteger(), nullable=False),
        sa.Column("body", JSON, nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(80), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_price_versions")),
    )
    op.create_index(
        op.f("ix_price_versions_model_tenant_effective_ms"), "price_versions", ["model", "tenant", "effective_ms"]
    )


def _create_free_usage() -> None:
    op.create_table(
        "free_usage",
        sa.Column("tenant", sa.String(40), nullable=False),
        sa.Column("model", sa.String(40), nullable=False),
        sa.Column("month_ms", sa.BigInteger(), nullable=False),
        sa.Column("unit", sa.String(40), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "model", "month_ms", "unit", name=op.f("pk_free_usage")),
    )


def _create_budgets() -> None:
    op.create_table(
        "budgets",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("tenant", sa.String(40), nullable=False),
        sa.Column("project", sa.String(40), nullable=False),
        sa.Column("key_id", sa.String(24), nullable=False),
        sa.Column("title", sa.String(120), nullable=False),
        sa.Column("period", sa.String(8), nullable=False),
        sa.Column("limit_nano", sa.BigInteger()),
        sa.Column("soft_nano", sa.BigInteger()),
        sa.Column("set_by", sa.String(8), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.Column("deleted_ms", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_budgets")),
    )
    op.create_index(op.f("ix_budgets_tenant"), "budgets", ["tenant"])


def _create_budget_accounts() -> None:
    op.create_table(
        "budget_accounts",
        sa.Column("budget_id", sa.String(36), nullable=False),
        sa.Column("period_ms", sa.BigInteger(), nullable=False),
        sa.Column("spent_nano", sa.BigInteger(), nullable=False),
        sa.Column("held_nano", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("budget_id", "period_ms", name=op.f("pk_budget_accounts")),
    )


def _create_holds() -> None:
    op.create_table(
        "holds",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("owner", sa.String(80), nullable=False),
        sa.Column("tenant", sa.String(40), nullable=False),
        sa.Column("project", sa.String(40), nullable=False),
        sa.Column("key_id", sa.String(24), nullable=False),
        sa.Column("run_id", sa.String(36)),
        sa.Column("granted_nano", sa.BigInteger(), nullable=False),
        sa.Column("remaining_nano", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("recalled_ms", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_holds")),
    )
    op.create_index(op.f("ix_holds_owner"), "holds", ["owner"])
    op.create_index(op.f("ix_holds_run_id"), "holds", ["run_id"])
    op.create_index(op.f("ix_holds_state_expires_ms"), "holds", ["state", "expires_ms"])


def _create_hold_accounts() -> None:
    op.create_table(
        "hold_accounts",
        sa.Column("hold_id", sa.String(36), nullable=False),
        sa.Column("budget_id", sa.String(36), nullable=False),
        sa.Column("period_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hold_id", "budget_id", "period_ms", name=op.f("pk_hold_accounts")),
    )
    op.create_index(op.f("ix_hold_accounts_budget_id_period_ms"), "hold_accounts", ["budget_id", "period_ms"])


def _create_grants() -> None:
    op.create_table(
        "grants",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("tenant", sa.String(40), nullable=False),
        sa.Column("amount_nano", sa.BigInteger(), nullable=False),
        sa.Column("remaining_nano", sa.BigInteger(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("note", sa.String(200), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("starts_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger()),
        sa.Column("voided_ms", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_grants")),
    )
    op.create_index(op.f("ix_grants_tenant"), "grants", ["tenant"])


def _create_rate_buckets() -> None:
    op.create_table(
        "rate_buckets",
        sa.Column("scope", sa.String(160), nullable=False),
        sa.Column("unit", sa.String(16), nullable=False),
        sa.Column("slots", JSON, nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("scope", "unit", name=op.f("pk_rate_buckets")),
    )
    op.create_index(op.f("ix_rate_buckets_updated_ms"), "rate_buckets", ["updated_ms"])


def _create_free_draws() -> None:
    op.create_table(
        "free_draws",
        sa.Column("usage_id", sa.String(160), nullable=False),
        sa.Column("unit", sa.String(40), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("usage_id", "unit", name=op.f("pk_free_draws")),
    )


def _create_key_makers() -> None:
    op.create_table(
        "key_makers",
        sa.Column("key_id", sa.String(24), nullable=False),
        sa.Column("maker", sa.String(24), nullable=False),
        sa.PrimaryKeyConstraint("key_id", "maker", name=op.f("pk_key_makers")),
    )
    op.create_index(op.f("ix_key_makers_maker"), "key_makers", ["maker"])


def _create_usage_reviews() -> None:
    op.create_table(
        "usage_reviews",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("source", sa.String(200), nullable=False),
        sa.Column("what", sa.String(400), nullable=False),
        sa.Column("note", sa.String(200), nullable=False),
        sa.Column("reviewed_by", sa.String(80), nullable=False),
        sa.Column("reviewed_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_usage_reviews")),
    )
    op.create_index(op.f("ix_usage_reviews_source"), "usage_reviews", ["source"])
