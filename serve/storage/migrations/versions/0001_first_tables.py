"""First tables."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    _create_tenants()
    _create_catalog()
    _create_runs()
    _create_run_events()
    _create_assets()


def downgrade() -> None:
    for table in (
        "assets",
        "webhook_deliveries",
        "run_events",
        "runs",
        "models",
        "documents",
        "keys",
        "projects",
        "tenants",
    ):
        op.drop_table(table)


def _create_tenants() -> None:
    op.create_table(
        "tenants",
        sa.Column("name", sa.String(40), nullable=False),
        sa.Column("webhook_secret", sa.String(80), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_tenants")),
    )
    op.create_table(
        "projects",
        sa.Column("tenant", sa.String(40), nullable=False),
        sa.Column("name", sa.String(40), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.name"], name=op.f("fk_projects_tenant_tenants")),
        sa.PrimaryKeyConstraint("tenant", "name", name=op.f("pk_projects")),
    )
    op.create_table(
        "keys",
        sa.Column("id", sa.String(24), nullable=False),
        sa.Column("tenant", sa.String(40), nullable=False),
        sa.Column("project", sa.String(40), nullable=False),
        sa.Column("title", sa.String(120), nullable=False),
        sa.Column("secret_sha256", sa.String(64), nullable=False),
        sa.Column("scopes", JSON, nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger()),
        sa.Column("revoked_ms", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_keys")),
    )
    op.create_index(op.f("ix_keys_tenant_id"), "keys", ["tenant", "id"])


def _create_catalog() -> None:
    op.create_table(
        "documents",
        sa.Column("digest", sa.String(71), nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_documents")),
    )
    op.create_table(
        "models",
        sa.Column("name", sa.String(40), nullable=False),
        sa.Column("digest", sa.String(71), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("managed_by", sa.String(16), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.Column("weights_digest", sa.String(71)),
        sa.Column("cold_start_seconds", sa.Float()),
        sa.ForeignKeyConstraint(["digest"], ["documents.digest"], name=op.f("fk_models_digest_documents")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_models")),
    )


def _create_runs() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("request_id", sa.String(36), nullable=False),
        sa.Column("tenant", sa.String(40), nullable=False),
        sa.Column("project", sa.String(40), nullable=False),
        sa.Column("key_id", sa.String(24), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("target", sa.String(120), nullable=False),
        sa.Column("task", sa.String(40), nullable=False),
        sa.Column("inputs", JSON, nullable=False),
        sa.Column("request_hash", sa.String(64), nullable=False),
        sa.Column("idempotency_key", sa.String(255)),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("deadline_ms", sa.BigInteger()),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("webhook", JSON),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("started_ms", sa.BigInteger()),
        sa.Column("finished_ms", sa.BigInteger()),
        sa.Column("cancel_requested", sa.Integer(), nullable=False),
        sa.Column("outputs", JSON),
        sa.Column("usage", JSON),
        sa.Column("error", JSON),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("lease_owner", sa.String(80)),
        sa.Column("lease_expires_ms", sa.BigInteger()),
        sa.Column("not_before_ms", sa.BigInteger(), nullable=False),
        sa.Column("num_events", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
    )
    op.create_index(op.f("ix_runs_status_deadline_ms"), "runs", ["status", "deadline_ms"])
    op.create_index(op.f("ix_runs_status_finished_ms"), "runs", ["status", "finished_ms"])
    op.create_index(op.f("ix_runs_status_lease_expires_ms"), "runs", ["status", "lease_expires_ms"])
    op.create_index(
        op.f("ix_runs_status_not_before_ms_tenant_priority_id"),
        "runs",
        ["status", "not_before_ms", "tenant", "priority", "id"],
    )
    op.create_index(op.f("ix_runs_tenant_id"), "runs", ["tenant", "id"])
    op.create_index(op.f("uq_runs_tenant_idempotency_key"), "runs", ["tenant", "idempotency_key"], unique=True)
    op.create_index(op.f("ix_runs_tenant_status_id"), "runs", ["tenant", "status", "id"])


def _create_run_events() -> None:
    op.create_table(
        "run_events",
        sa.Column("run_id", sa.String(36), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("data", JSON, nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "seq", name=op.f("pk_run_events")),
    )
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("run_id", sa.String(36), nullable=False),
        sa.Column("tenant", sa.String(40), nullable=False),
        sa.Column("event", sa.String(16), nullable=False),
        sa.Column("url", sa.String(2048), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("next_ms", sa.BigInteger(), nullable=False),
        sa.Column("response_status", sa.Integer()),
        sa.Column("error", sa.String(400)),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("delivered_ms", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_deliveries")),
    )
    op.create_index(
        op.f("ix_webhook_deliveries_status_tenant_next_ms"), "webhook_deliveries", ["status", "tenant", "next_ms"]
    )
    op.create_index(op.f("ix_webhook_deliveries_tenant_run_id"), "webhook_deliveries", ["tenant", "run_id"])


def _create_assets() -> None:
    op.create_table(
        "assets",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("tenant", sa.String(40), nullable=False),
        sa.Column("project", sa.String(40), nullable=False),
        sa.Column("run_id", sa.String(36)),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("media_type", sa.String(120), nullable=False),
        sa.Column("num_bytes", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(255)),
        sa.Column("width", sa.Integer()),
        sa.Column("height", sa.Integer()),
        sa.Column("seconds", sa.Float()),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("deleting_ms", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_assets")),
    )
    op.create_index(op.f("ix_assets_deleting_ms"), "assets", ["deleting_ms"])
    op.create_index(op.f("ix_assets_run_id"), "assets", ["run_id"])
    op.create_index(op.f("ix_assets_tenant_id"), "assets", ["tenant", "id"])
    op.create_index(op.f("ix_assets_tenant_sha256"), "assets", ["tenant", "sha256"])
