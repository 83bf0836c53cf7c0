"""How events look to a subscription, and how they looked: every version of its payload is kept."""

from api.migrations.statements import run

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add it. Subscriptions that are there have none, which is version 0 and the full body."""
    run(_STATEMENTS)


def downgrade() -> None:
    """Take it away: everybody gets the full body again."""
    run(_BACK)


_BACK = """
DROP TABLE transformations;
ALTER TABLE subscriptions DROP COLUMN payload, DROP COLUMN transformation_version;
ALTER TABLE attempts DROP COLUMN transformation_version;
ALTER TABLE replays DROP COLUMN payload;
"""

_STATEMENTS = """
ALTER TABLE subscriptions ADD COLUMN payload jsonb, ADD COLUMN transformation_version INTEGER NOT NULL DEFAULT 0;
COMMENT ON COLUMN subscriptions.payload IS 'null: the full body';
COMMENT ON COLUMN subscriptions.transformation_version IS 'rises with each change of payload; 0: it never had one';

CREATE TABLE transformations (
    subscription_id text COLLATE "C" NOT NULL,
    version INTEGER NOT NULL,
    organization_id text NOT NULL,
    payload jsonb,
    since timestamptz NOT NULL,
    PRIMARY KEY (subscription_id, version)
);
COMMENT ON COLUMN transformations.version IS 'from 1; 0 is the full body, for all';
ALTER TABLE transformations ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT ON transformations TO hookline_tenant;
CREATE POLICY own ON transformations TO hookline_tenant
    USING (organization_id = current_setting('hookline.organization_id', true))
    WITH CHECK (organization_id = current_setting('hookline.organization_id', true));

ALTER TABLE attempts ADD COLUMN transformation_version INTEGER NOT NULL DEFAULT 0;
COMMENT ON COLUMN attempts.transformation_version IS 'of what was sent; -1: nothing was';

ALTER TABLE replays ADD COLUMN payload text NOT NULL DEFAULT 'original';
COMMENT ON COLUMN replays.payload IS 'original: as each delivery was sent; current: as its subscription has it now';
"""
