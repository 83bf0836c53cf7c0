"""Event types that organizations define, and every version of their schemas ever released."""

from alembic import op

from api.migrations.statements import run

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# Schemas and examples are JSON as text: the order of fields means something to whoever reads them. `accepts` is the
# newest schema with what earlier versions had and it has no more (schemas/evolution.py, `with_retired`).
_TABLES = """
CREATE TABLE event_types (
    organization_id text COLLATE "C" NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    name text COLLATE "C" NOT NULL,
    revision bigint NOT NULL,
    version integer NOT NULL,
    state text NOT NULL,
    category text NOT NULL,
    description text NOT NULL,
    owner text NOT NULL,
    ordering_key text,
    schema text NOT NULL,
    accepts text NOT NULL,
    example text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, name)
);

CREATE TABLE event_type_versions (
    organization_id text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    version integer NOT NULL,
    schema text NOT NULL,
    example text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, name, version),
    FOREIGN KEY (organization_id, name) REFERENCES event_types (organization_id, name) ON DELETE CASCADE
);

CREATE INDEX outbox_event_types ON outbox (key) WHERE topic = 'hookline.event-types';

COMMENT ON COLUMN event_types.revision IS 'rises with every change; version only with its schema';
COMMENT ON COLUMN event_types.schema IS 'JSON, as it was given';
COMMENT ON COLUMN event_types.accepts IS 'JSON: the schema, with what earlier versions had';
COMMENT ON COLUMN event_types.example IS 'JSON';
COMMENT ON COLUMN event_type_versions.schema IS 'JSON, as it was given';
COMMENT ON COLUMN event_type_versions.example IS 'JSON';
"""
_OWN = "organization_id = current_setting('hookline.organization_id', true)"


def upgrade() -> None:
    """Make the tables, bound to their organizations as migration 0006 binds the others."""
    run(_TABLES)
    for table in ("event_types", "event_type_versions"):
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO hookline_tenant")
        op.execute(f"CREATE POLICY own ON {table} TO hookline_tenant USING ({_OWN}) WITH CHECK ({_OWN})")


def downgrade() -> None:
    """Drop the tables."""
    op.execute("DROP INDEX outbox_event_types")
    op.execute("DROP TABLE event_type_versions")
    op.execute("DROP TABLE event_types")
