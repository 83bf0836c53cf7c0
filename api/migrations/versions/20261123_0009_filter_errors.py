"""Filters of subscriptions, what went wrong in them, and the source of events."""

from alembic import op

from api.migrations.statements import run

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_OWN = "organization_id = current_setting('hookline.organization_id', true)"


def upgrade() -> None:
    """Make the columns and the table."""
    run(_STATEMENTS)
    op.execute("ALTER TABLE filter_errors ENABLE ROW LEVEL SECURITY")
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON filter_errors TO hookline_tenant")
    op.execute(f"CREATE POLICY own ON filter_errors TO hookline_tenant USING ({_OWN}) WITH CHECK ({_OWN})")


def downgrade() -> None:
    """Drop them: workers of the release before know no filters."""
    run(_BACK)


_BACK = """
DROP TABLE filter_errors;
ALTER TABLE events DROP COLUMN source;
ALTER TABLE subscriptions DROP COLUMN filters, DROP COLUMN filters_version;
"""

_STATEMENTS = """
ALTER TABLE subscriptions ADD COLUMN filters jsonb;
ALTER TABLE subscriptions ADD COLUMN filters_version BIGINT DEFAULT 0 NOT NULL;
COMMENT ON COLUMN subscriptions.filters IS 'which events of its types it wants; null: all';
COMMENT ON COLUMN subscriptions.filters_version IS 'the version that has had these filters first';

ALTER TABLE events ADD COLUMN source text;
COMMENT ON COLUMN events.source IS 'CloudEvents'' attribute; null: its publisher did not say';

CREATE TABLE filter_errors (
    subscription_id text COLLATE "C" NOT NULL,
    subscription_version BIGINT NOT NULL,
    organization_id text NOT NULL,
    count BIGINT NOT NULL,
    last_error text NOT NULL,
    last_event_id text NOT NULL,
    last_at timestamptz NOT NULL,
    PRIMARY KEY (subscription_id, subscription_version)
);
COMMENT ON COLUMN filter_errors.subscription_version IS 'whose filters failed';
"""
