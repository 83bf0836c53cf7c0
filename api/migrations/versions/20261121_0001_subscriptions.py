"""Subscriptions, and the outbox that tells the workers about them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make both tables, and an index for each list and filter."""
    op.create_table(
        "subscriptions",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("organization_id", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("event_types", ARRAY(sa.Text), nullable=False),
        sa.Column("description", sa.Text),
        sa.Column("headers", sa.LargeBinary, comment="sealed JSON object"),
        sa.Column("secrets", ARRAY(sa.LargeBinary), nullable=False, comment="sealed, newest first"),
        sa.Column("timeout_ms", sa.Integer, nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("disabled_reason", sa.Text),
        sa.Column("metadata", JSONB, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("subscriptions_of_organization", "subscriptions", ["organization_id", "id"])
    op.create_index("subscriptions_by_state", "subscriptions", ["organization_id", "enabled", "id"])
    op.create_index("subscriptions_by_event_type", "subscriptions", ["event_types"], postgresql_using="gin")
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.Column("value", sa.LargeBinary, comment="null is a tombstone"),
        sa.Column("headers", JSONB, nullable=False, comment="[[name, base64 of the value], …]"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    )
    op.create_index("outbox_created_at", "outbox", ["created_at"])


def downgrade() -> None:
    """Drop both."""
    op.drop_table("outbox")
    op.drop_table("subscriptions")
