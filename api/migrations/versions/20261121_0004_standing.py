"""Where subscriptions stand that are behind, what was said of those that fail, and an index of what waits."""

from api.migrations.statements import run

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables, columns and the index."""
    run(_STATEMENTS)


def downgrade() -> None:
    """Drop them: a worker of the release before tells where subscriptions stand in no table."""
    run(_BACK)


_BACK = """
DROP INDEX deliveries_waiting;
ALTER TABLE subscription_health DROP COLUMN warned_at, DROP COLUMN troubled_since;
DROP TABLE cursor_claims, cursors;
"""

_STATEMENTS = """
CREATE TABLE cursors (
    subscription_id text COLLATE "C" NOT NULL,
    topic text NOT NULL,
    key text NOT NULL,
    organization_id text NOT NULL,
    partition INTEGER NOT NULL,
    next BIGINT NOT NULL,
    reason text NOT NULL,
    since timestamptz NOT NULL,
    not_before timestamptz,
    attempt INTEGER NOT NULL,
    epoch BIGINT NOT NULL,
    writer text NOT NULL,
    PRIMARY KEY (subscription_id, topic, key)
);
CREATE INDEX cursors_of_partition ON cursors (partition, reason) WHERE key = '';
COMMENT ON COLUMN cursors.topic IS 'whose deliveries wait';
COMMENT ON COLUMN cursors.key IS 'of an ordered delivery that waits for its retry; empty: the subscription''s own';
COMMENT ON COLUMN cursors.next IS 'the offset that is not finished';

CREATE TABLE cursor_claims (
    partition INTEGER NOT NULL,
    epoch BIGINT NOT NULL,
    writer text NOT NULL,
    since timestamptz NOT NULL,
    PRIMARY KEY (partition)
);

ALTER TABLE subscription_health ADD COLUMN warned_at timestamptz;
ALTER TABLE subscription_health ADD COLUMN troubled_since timestamptz;
COMMENT ON COLUMN subscription_health.warned_at IS 'void when it was enabled later';
COMMENT ON COLUMN subscription_health.troubled_since IS 'warned or disabled, and without a success since';

CREATE INDEX deliveries_waiting ON deliveries (subscription_id, state, round, at, id)
    WHERE state IN ('pending', 'retrying', 'held');
"""
