"""Workflows: drafts, versions, aliases, the steps of their runs, and kept results."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
ORDERED_JSON = sa.JSON(none_as_null=True)


def upgrade() -> None:
    op.add_column("runs", sa.Column("workflow", JSON))
    _alter_inputs("json")
    _create_workflows()
    _create_workflow_versions()
    _create_workflow_aliases()
    _create_workflow_documents()
    _create_run_steps()
    _create_workflow_results()
    _create_step_history()


def downgrade() -> None:
    op.drop_table("step_history")
    op.drop_table("workflow_results")
    op.drop_table("run_steps")
    op.drop_table("workflow_documents")
    op.drop_table("workflow_aliases")
    op.drop_table("workflow_versions")
    op.drop_table("workflows")
    _alter_inputs("jsonb")
    op.drop_column("runs", "workflow")


def _alter_inputs(type_: str) -> None:
    """JSONB forgets the order of keys, which counts in a JSON schema. SQLite keeps the text in any case."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"ALTER TABLE runs ALTER COLUMN inputs TYPE {type_} USING inputs::{type_}")


def _create_workflows() -> None:
    op.create_table(
        "workflows",
        sa.Column("tenant", sa.String(40), nullable=False),
        sa.Column("name", sa.String(40), nullable=False),
        sa.Column("title", sa.String(120), nullable=False),
        sa.Column("draft", sa.Text(), nullable=False),
        sa.Column("draft_digest", sa.String(71), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("last_version", sa.Integer(), nullable=False),
        sa.Column("managed_by", sa.String(16), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_by", sa.String(36), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "name", name=op.f("pk_workflows")),
    )


def _create_workflow_versions() -> None:
    op.create_table(
        "workflow_versions",
        sa.Column("tenant", sa.String(40), nullable=False),
        sa.Column("name", sa.String(40), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(71), nullable=False),
        sa.Column("note", sa.String(400), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(36), nullable=False),
        sa.Column("deleted_ms", sa.BigInteger()),
        sa.PrimaryKeyConstraint("tenant", "name", "version", name=op.f("pk_workflow_versions")),
    )
    op.create_index(op.f("ix_workflow_versions_tenant_digest"), "workflow_versions", ["tenant", "digest"])


def _create_workflow_aliases() -> None:
    op.create_table(
        "workflow_aliases",
        sa.Column("tenant", sa.String(40), nullable=False),
        sa.Column("name", sa.String(40), nullable=False),
        sa.Column("alias", sa.String(40), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("previous", sa.Integer()),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_by", sa.String(36), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "name", "alias", name=op.f("pk_workflow_aliases")),
    )


def _create_workflow_documents() -> None:
    op.create_table(
        "workflow_documents",
        sa.Column("tenant", sa.String(40), nullable=False),
        sa.Column("digest", sa.String(71), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("used_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "digest", name=op.f("pk_workflow_documents")),
    )


def _create_run_steps() -> None:
    op.create_table(
        "run_steps",
        sa.Column("run_id", sa.String(36), nullable=False),
        sa.Column("label", sa.String(80), nullable=False),
        sa.Column("type", sa.String(120), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("key", sa.String(64)),
        sa.Column("outputs", ORDERED_JSON),
        sa.Column("error", JSON),
        sa.Column("reason", sa.String(400)),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("started_ms", sa.BigInteger()),
        sa.Column("finished_ms", sa.BigInteger()),
        sa.Column("usage", JSON),
        sa.Column("cost_nano", sa.BigInteger()),
        sa.PrimaryKeyConstraint("run_id", "label", name=op.f("pk_run_steps")),
    )


def _create_workflow_results() -> None:
    op.create_table(
        "workflow_results",
        sa.Column("tenant", sa.String(40), nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("outputs", ORDERED_JSON, nullable=False),
        sa.Column("assets", JSON, nullable=False),
        sa.Column("num_bytes", sa.BigInteger(), nullable=False),
        sa.Column("run_id", sa.String(36), nullable=False),
        sa.Column("label", sa.String(80), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("used_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "key", name=op.f("pk_workflow_results")),
    )
    op.create_index(op.f("ix_workflow_results_run_id"), "workflow_results", ["run_id"])
    op.create_index(op.f("ix_workflow_results_tenant_used_ms"), "workflow_results", ["tenant", "used_ms"])
    op.create_index(op.f("ix_workflow_results_used_ms"), "workflow_results", ["used_ms"])


def _create_step_history() -> None:
    op.create_table(
        "step_history",
        sa.Column("tenant", sa.String(40), nullable=False),
        sa.Column("type", sa.String(120), nullable=False),
        sa.Column("num", sa.Float(), nullable=False),
        sa.Column("work", sa.Float(), nullable=False),
        sa.Column("work2", sa.Float(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("seconds_work", sa.Float(), nullable=False),
        sa.Column("units", JSON, nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "type", name=op.f("pk_step_history")),
    )
