"""An index leads to an organization's jobs in the order of their list: retries by hand, which are none, are many."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make it."""
    op.execute("CREATE INDEX jobs_of_organization ON replays (organization_id, created_at, id) WHERE is_retry IS false")


def downgrade() -> None:
    """Drop it."""
    op.execute("DROP INDEX jobs_of_organization")
