"""Row-level security: bound to an organization, a transaction sees and writes that organization's rows and no other.

Requests run as the role `hookline_tenant`, which owns nothing (`api/database.py`, `bind`). Who owns the tables (the
projector, the relay, the runner of replays, migrations) is not bound: it works for all. A role belongs to all databases
of a server, so it is made once and stays when this is undone.
https://www.postgresql.org/docs/current/ddl-rowsecurity.html
"""

from alembic import op

from api.migrations.statements import run

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# Who makes a role is its administrator, but since PostgreSQL 16 not who may take it: that is granted on top.
_ROLE = """
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'hookline_tenant') THEN
        BEGIN
            CREATE ROLE hookline_tenant NOLOGIN;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL; -- another database's migration was quicker
        END;
    END IF;
    IF NOT pg_has_role(current_user, 'hookline_tenant',
            CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END) THEN
        EXECUTE format('GRANT hookline_tenant TO %I', current_user);
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE EXCEPTION 'this user may not make or take the role hookline_tenant: let an administrator of PostgreSQL '
            'run "CREATE ROLE hookline_tenant NOLOGIN" unless it is there, and "GRANT hookline_tenant TO %"',
            current_user;
END $$
"""

# What the role may do with a table, and which of its rows it sees; its own organization's, unless said otherwise.
_OWN = "organization_id = current_setting('hookline.organization_id', true)"
_READ, _ADD, _ALL = "SELECT", "SELECT, INSERT", "SELECT, INSERT, UPDATE, DELETE"
_TABLES = (
    ("subscriptions", _ALL, _OWN),
    ("subscription_health", _ALL, _OWN),
    ("cursors", _ALL, _OWN),
    ("events", _ADD, _OWN),
    ("deliveries", _ALL, _OWN),
    ("attempts", _READ, _OWN),
    ("delivery_counts", _ALL, _OWN),
    ("replays", _ALL, _OWN),
    ("event_claims", _ALL, _OWN),
    ("idempotency_keys", _ALL, _OWN),
    ("organizations", "SELECT, INSERT, UPDATE", "id = current_setting('hookline.organization_id', true)"),
    ("memberships", _ALL, _OWN),
    ("invitations", _ALL, _OWN),
    ("roles", _ALL, _OWN),
    # A user's own organization's, not those where it is a member: who has a link may set its password.
    ("user_links", _ALL, f"EXISTS (SELECT FROM users WHERE users.id = user_id AND users.{_OWN})"),
    ("sessions", _ALL, _OWN),
    ("mails", _ADD, _OWN),
    ("api_tokens", _ALL, _OWN),
    ("api_token_uses", _READ, _OWN),
    ("applications", _ALL, _OWN),
    ("application_secrets", _ALL, _OWN),
    ("application_approvals", _ALL, _OWN),
    ("oauth_consents", _ALL, _OWN),
    ("oauth_grants", _ALL, _OWN),
    ("audit_log", _ADD, _OWN),
)
# A replay is added before its items, so that they can be seen to be its own.
_OTHERS = """
ALTER TABLE users ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON users TO hookline_tenant;
CREATE POLICY own ON users TO hookline_tenant
    USING (organization_id = current_setting('hookline.organization_id', true));
CREATE POLICY members ON users FOR SELECT TO hookline_tenant
    USING (EXISTS (SELECT FROM memberships WHERE memberships.user_id = users.id));

ALTER TABLE replay_items ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON replay_items TO hookline_tenant;
CREATE POLICY own ON replay_items TO hookline_tenant
    USING (EXISTS (SELECT FROM replays WHERE replays.id = replay_id));

GRANT SELECT ON log_positions, cursor_claims, alembic_version TO hookline_tenant;
GRANT INSERT ON outbox TO hookline_tenant;
"""
# No grant at all: quarantine, oauth_codes, oauth_refresh_tokens, oauth_revoked_tokens, oauth_signing_keys.

_APPEND_ONLY = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'insufficient_privilege'; END $$
"""


def upgrade() -> None:
    """Make the role, its grants and the policies; make the audit log append-only."""
    op.execute(_ROLE)
    for table, grants, rows in _TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"GRANT {grants} ON {table} TO hookline_tenant")
        op.execute(f"CREATE POLICY own ON {table} TO hookline_tenant USING ({rows}) WITH CHECK ({rows})")
    run(_OTHERS)
    op.execute(_APPEND_ONLY)
    for change in ("UPDATE OR DELETE", "TRUNCATE"):
        op.execute(
            f"CREATE TRIGGER append_only_{change[:2].lower()} BEFORE {change} ON audit_log "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )


def downgrade() -> None:
    """Take all of it back but the role."""
    op.execute("DROP TRIGGER append_only_up ON audit_log")
    op.execute("DROP TRIGGER append_only_tr ON audit_log")
    op.execute("DROP FUNCTION refuse_change()")
    op.execute("DROP POLICY members ON users")
    for table in (*(table for table, _, _ in _TABLES), "users", "replay_items"):
        op.execute(f"DROP POLICY own ON {table}")
        op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
        op.execute(f"REVOKE ALL ON {table} FROM hookline_tenant")
    op.execute("REVOKE ALL ON log_positions, cursor_claims, alembic_version, outbox FROM hookline_tenant")
