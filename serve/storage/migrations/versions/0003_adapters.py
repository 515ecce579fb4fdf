"""Adapters, and the runs that use them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    op.add_column("runs", sa.Column("adapters", JSON))
    _create_adapters()
    _create_blobs()


def downgrade() -> None:
    for table in ("layouts", "adapter_blobs", "adapter_shares", "adapter_versions", "adapters"):
        op.drop_table(table)
    op.drop_column("runs", "adapters")


def _create_adapters() -> None:
    op.create_table(
        "adapters",
        sa.Column("tenant", sa.String(40), nullable=False),
        sa.Column("name", sa.String(40), nullable=False),
        sa.Column("digest", sa.String(71), nullable=False),
        sa.Column("title", sa.String(120), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("trigger_words", JSON, nullable=False),
        sa.Column("default_scale", sa.Float(), nullable=False),
        sa.Column("managed_by", sa.String(16), nullable=False),
        sa.Column("document", JSON),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "name", name=op.f("pk_adapters")),
    )
    op.create_table(
        "adapter_versions",
        sa.Column("tenant", sa.String(40), nullable=False),
        sa.Column("name", sa.String(40), nullable=False),
        sa.Column("digest", sa.String(71), nullable=False),
        sa.Column("facts", JSON, nullable=False),
        sa.Column("modules", JSON, nullable=False),
        sa.Column("files", JSON, nullable=False),
        sa.Column("num_bytes", sa.BigInteger(), nullable=False),
        sa.Column("base", sa.String(40)),
        sa.Column("misfits", JSON, nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("deleted_ms", sa.BigInteger()),
        sa.PrimaryKeyConstraint("tenant", "name", "digest", name=op.f("pk_adapter_versions")),
    )
    op.create_index(op.f("ix_adapter_versions_tenant_digest"), "adapter_versions", ["tenant", "digest"])
    op.create_index(op.f("ix_adapter_versions_deleted_ms"), "adapter_versions", ["deleted_ms"])
    op.create_table(
        "adapter_shares",
        sa.Column("tenant", sa.String(40), nullable=False),
        sa.Column("name", sa.String(40), nullable=False),
        sa.Column("reader", sa.String(40), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "name", "reader", name=op.f("pk_adapter_shares")),
    )
    op.create_index(op.f("ix_adapter_shares_reader"), "adapter_shares", ["reader"])


def _create_blobs() -> None:
    op.create_table(
        "adapter_blobs",
        sa.Column("tenant", sa.String(40), nullable=False),
        sa.Column("digest", sa.String(71), nullable=False),
        sa.Column("files", JSON, nullable=False),
        sa.Column("num_bytes", sa.BigInteger(), nullable=False),
        sa.Column("held_until_ms", sa.BigInteger(), nullable=False),
        sa.Column("deleting_ms", sa.BigInteger()),
        sa.PrimaryKeyConstraint("tenant", "digest", name=op.f("pk_adapter_blobs")),
    )
    op.create_index(op.f("ix_adapter_blobs_held_until_ms"), "adapter_blobs", ["held_until_ms"])
    op.create_table(
        "layouts",
        sa.Column("digest", sa.String(71), nullable=False),
        sa.Column("shapes", JSON, nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_layouts")),
    )
