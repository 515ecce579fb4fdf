"""Links that log in once."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "login_links",
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("made_by", sa.String(36)),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_login_links")),
    )
    op.create_index(op.f("ix_login_links_expires_ms"), "login_links", ["expires_ms"])


def downgrade() -> None:
    op.drop_table("login_links")
