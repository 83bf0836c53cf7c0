"""Replays that read the log itself, and replays that pause.

An index leads to an organization's events by their place in the log: what Kafka has forgotten is read from their
stored bodies in the order in which Kafka had it.
"""

from api.migrations.statements import run

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what such a replay was asked for and how far it is."""
    run(_STATEMENTS)


def downgrade() -> None:
    """Take it away; those that read the log or pause are cancelled, their items too."""
    run(_BACK)


_STATEMENTS = """
ALTER TABLE replays ADD COLUMN source text NOT NULL DEFAULT 'deliveries';
ALTER TABLE replays ADD COLUMN offsets JSONB;
ALTER TABLE replays ADD COLUMN filters text;
ALTER TABLE replays ADD COLUMN positions JSONB;
ALTER TABLE replays ADD COLUMN log_read BIGINT;
ALTER TABLE replays ADD COLUMN log_total BIGINT;
ALTER TABLE replays ADD COLUMN paused_at timestamptz;
ALTER TABLE replays ADD COLUMN error text;
COMMENT ON COLUMN replays.source IS 'deliveries or log';
COMMENT ON COLUMN replays.offsets IS 'as they were asked for';
COMMENT ON COLUMN replays.filters IS 'JSON, as schemas/filters writes it';
COMMENT ON COLUMN replays.positions IS 'of hookline.events, by partition (api/replays/positions.py)';
COMMENT ON COLUMN replays.log_read IS 'offsets that it is past, of log_total';
COMMENT ON COLUMN replays.error IS 'why it ended before its end';
CREATE INDEX events_by_place ON events (organization_id, partition, "offset", at, type);
"""

_BACK = """
DROP INDEX events_by_place;
UPDATE replay_items SET state = 'cancelled', finished_at = now() WHERE state = 'queued'
    AND replay_id IN (SELECT id FROM replays WHERE source = 'log' OR state = 'paused');
UPDATE replays SET state = 'cancelled' WHERE finished_at IS NULL AND (source = 'log' OR state = 'paused');
ALTER TABLE replays DROP COLUMN error, DROP COLUMN paused_at, DROP COLUMN log_total, DROP COLUMN log_read,
    DROP COLUMN positions, DROP COLUMN filters, DROP COLUMN offsets, DROP COLUMN source;
"""
