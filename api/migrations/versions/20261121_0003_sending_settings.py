"""How a subscription is sent to: paused or not, how fast, in which order, to which addresses, signed how.

Each column has the default that says "as before", so that an API of the release before goes on writing rows.
"""

from api.migrations.statements import run

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; none of them makes PostgreSQL write the table anew."""
    run(_STATEMENTS)


def downgrade() -> None:
    """Drop the columns, and the index with its own."""
    run(_BACK)


_BACK = """
DROP INDEX subscriptions_paused;
ALTER TABLE subscriptions
    DROP COLUMN paused,
    DROP COLUMN paused_at,
    DROP COLUMN catch_up_per_s,
    DROP COLUMN most_in_flight,
    DROP COLUMN rate_limit,
    DROP COLUMN rate_period_s,
    DROP COLUMN ordering,
    DROP COLUMN on_exhaustion,
    DROP COLUMN allowed_addresses,
    DROP COLUMN signature_style,
    DROP COLUMN signature_header,
    DROP COLUMN event_type_header,
    DROP COLUMN delivery_id_header;
"""

_STATEMENTS = """
ALTER TABLE subscriptions
    ADD COLUMN paused boolean NOT NULL DEFAULT false,
    ADD COLUMN paused_at timestamptz,
    ADD COLUMN catch_up_per_s double precision,
    ADD COLUMN most_in_flight integer,
    ADD COLUMN rate_limit integer,
    ADD COLUMN rate_period_s integer NOT NULL DEFAULT 1,
    ADD COLUMN ordering text NOT NULL DEFAULT 'none',
    ADD COLUMN on_exhaustion text NOT NULL DEFAULT 'dead_letter',
    ADD COLUMN allowed_addresses text[] NOT NULL DEFAULT '{}',
    ADD COLUMN signature_style text NOT NULL DEFAULT 'standard',
    ADD COLUMN signature_header text,
    ADD COLUMN event_type_header text,
    ADD COLUMN delivery_id_header text;
COMMENT ON COLUMN subscriptions.catch_up_per_s IS 'while it is behind; null: as fast as the workers can';
COMMENT ON COLUMN subscriptions.most_in_flight IS 'null: the workers'' own bound';
COMMENT ON COLUMN subscriptions.rate_limit IS 'deliveries in rate_period_s; null: as many as come';
COMMENT ON COLUMN subscriptions.allowed_addresses IS 'CIDR blocks; none: any public address';
CREATE INDEX subscriptions_paused ON subscriptions (organization_id, id) WHERE paused;
"""
