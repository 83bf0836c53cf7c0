"""Organizations, members, users, tokens, applications, the authorization server's tables, e-mails and the audit log."""

from alembic import op

from api.migrations.statements import run

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_TABLES = (
    "audit_log",
    "oauth_signing_keys",
    "oauth_revoked_tokens",
    "oauth_refresh_tokens",
    "oauth_codes",
    "oauth_grants",
    "oauth_consents",
    "application_approvals",
    "application_secrets",
    "applications",
    "api_token_uses",
    "api_tokens",
    "mails",
    "sessions",
    "user_links",
    "roles",
    "invitations",
    "memberships",
    "users",
    "organizations",
)


def upgrade() -> None:
    """Make the tables; each organization that has anything gets a row, and each attempt its organization's id."""
    run(_STATEMENTS)


def downgrade() -> None:
    """Drop them, with all that is in them."""
    for table in _TABLES:
        op.execute(f"DROP TABLE {table}")
    op.execute("ALTER TABLE attempts DROP COLUMN organization_id")


_STATEMENTS = """
CREATE TABLE audit_log (
    id text COLLATE "C" NOT NULL,
    organization_id text COLLATE "C" NOT NULL,
    at timestamptz NOT NULL,
    actor_kind text NOT NULL,
    actor_id text COLLATE "C" NOT NULL,
    actor_name text NOT NULL,
    application_id text COLLATE "C",
    action text NOT NULL,
    target_kind text,
    target_id text COLLATE "C",
    changes JSONB,
    address text NOT NULL,
    user_agent text NOT NULL,
    request_id text NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX audit_log_by_action ON audit_log (organization_id, action, id);
CREATE INDEX audit_log_by_actor ON audit_log (organization_id, actor_id, id);
CREATE INDEX audit_log_by_target ON audit_log (organization_id, target_id, id);
CREATE INDEX audit_log_of_organization ON audit_log (organization_id, id);
COMMENT ON COLUMN audit_log.id IS 'ordered by time';
COMMENT ON COLUMN audit_log.actor_kind IS 'administrator, api_token, access_token, session or nobody';
COMMENT ON COLUMN audit_log.actor_id IS 'the user''s, else the credential''s';
COMMENT ON COLUMN audit_log.action IS 'the operation''s id in OpenAPI, or auth.…';
COMMENT ON COLUMN audit_log.changes IS 'what it was before, without secrets';

CREATE TABLE oauth_revoked_tokens (
    id text COLLATE "C" NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX oauth_revoked_tokens_expires_at ON oauth_revoked_tokens (expires_at);
COMMENT ON COLUMN oauth_revoked_tokens.id IS 'its jti';

CREATE TABLE oauth_signing_keys (
    id text COLLATE "C" NOT NULL,
    algorithm text NOT NULL,
    private_key BYTEA NOT NULL,
    public_key JSONB NOT NULL,
    created_at timestamptz NOT NULL,
    signs_from timestamptz NOT NULL,
    signs_until timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (id)
);
COMMENT ON COLUMN oauth_signing_keys.id IS 'its kid: the JWK''s thumbprint (RFC 7638)';
COMMENT ON COLUMN oauth_signing_keys.algorithm IS 'EdDSA or RS256';
COMMENT ON COLUMN oauth_signing_keys.private_key IS 'sealed: the private JWK as JSON';
COMMENT ON COLUMN oauth_signing_keys.public_key IS 'the public JWK';
COMMENT ON COLUMN oauth_signing_keys.expires_at IS 'after it nothing that it signed is valid';

CREATE TABLE organizations (
    id text COLLATE "C" NOT NULL,
    version INTEGER NOT NULL,
    name text NOT NULL,
    display_name text,
    logo_url text,
    primary_color text,
    accent_color text,
    settings JSONB DEFAULT '{}' NOT NULL,
    limits JSONB DEFAULT '{}' NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (id)
);
COMMENT ON COLUMN organizations.display_name IS 'on the consent page; null: the name';
COMMENT ON COLUMN organizations.primary_color IS '#rrggbb';
COMMENT ON COLUMN organizations.accent_color IS '#rrggbb';
COMMENT ON COLUMN organizations.limits IS 'missing ones: the default';

CREATE TABLE api_tokens (
    id text COLLATE "C" NOT NULL,
    organization_id text COLLATE "C" NOT NULL,
    version INTEGER NOT NULL,
    name text NOT NULL,
    prefix text COLLATE "C" NOT NULL,
    digest BYTEA NOT NULL,
    scopes text[] NOT NULL,
    allowed_addresses text[] DEFAULT '{}' NOT NULL,
    rate_limit INTEGER,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz,
    PRIMARY KEY (id),
    FOREIGN KEY(organization_id) REFERENCES organizations (id) ON DELETE CASCADE
);
CREATE INDEX api_tokens_by_prefix ON api_tokens (prefix);
CREATE INDEX api_tokens_of_organization ON api_tokens (organization_id, id);
COMMENT ON COLUMN api_tokens.prefix IS 'its first 12 characters: by it a token is found';
COMMENT ON COLUMN api_tokens.digest IS 'SHA-256 of the whole token';
COMMENT ON COLUMN api_tokens.allowed_addresses IS 'CIDR; none: anywhere';
COMMENT ON COLUMN api_tokens.rate_limit IS 'requests a minute; null: the organization''s limits only';
COMMENT ON COLUMN api_tokens.last_used_at IS 'written at most once a minute';

CREATE TABLE applications (
    id text COLLATE "C" NOT NULL,
    organization_id text COLLATE "C" NOT NULL,
    version INTEGER NOT NULL,
    name text NOT NULL,
    description text,
    logo_url text,
    homepage_url text,
    kind text NOT NULL,
    redirect_uris text[] NOT NULL,
    scopes text[] NOT NULL,
    grants text[] NOT NULL,
    requires_pkce BOOLEAN NOT NULL,
    signing_algorithm text NOT NULL,
    enabled BOOLEAN NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (id),
    FOREIGN KEY(organization_id) REFERENCES organizations (id) ON DELETE CASCADE
);
CREATE INDEX applications_of_organization ON applications (organization_id, id);
COMMENT ON COLUMN applications.kind IS 'confidential or public';
COMMENT ON COLUMN applications.redirect_uris IS 'compared character by character';
COMMENT ON COLUMN applications.scopes IS 'what it may ask for';
COMMENT ON COLUMN applications.requires_pkce IS 'false only for a confidential one, and audited';
COMMENT ON COLUMN applications.signing_algorithm IS 'of its access tokens: EdDSA or RS256';

CREATE TABLE invitations (
    id text COLLATE "C" NOT NULL,
    organization_id text COLLATE "C" NOT NULL,
    email text NOT NULL,
    role_id text COLLATE "C" NOT NULL,
    invited_by text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    accepted_at timestamptz,
    withdrawn_at timestamptz,
    PRIMARY KEY (id),
    FOREIGN KEY(organization_id) REFERENCES organizations (id) ON DELETE CASCADE
);
CREATE INDEX invitations_of_organization ON invitations (organization_id, id);
COMMENT ON COLUMN invitations.invited_by IS 'the caller''s id: a user, a token, the administrator';

CREATE TABLE mails (
    id text COLLATE "C" NOT NULL,
    organization_id text COLLATE "C" NOT NULL,
    recipient text NOT NULL,
    template text NOT NULL,
    parameters JSONB NOT NULL,
    link_purpose text,
    link_id text COLLATE "C",
    state text NOT NULL,
    attempts INTEGER NOT NULL,
    next_attempt_at timestamptz NOT NULL,
    last_error text,
    created_at timestamptz NOT NULL,
    finished_at timestamptz,
    PRIMARY KEY (id),
    FOREIGN KEY(organization_id) REFERENCES organizations (id) ON DELETE CASCADE
);
CREATE INDEX mails_due ON mails (next_attempt_at) WHERE finished_at IS NULL;
COMMENT ON COLUMN mails.parameters IS 'no secret';
COMMENT ON COLUMN mails.link_purpose IS 'invitation, verification or reset';
COMMENT ON COLUMN mails.link_id IS 'what the link stands for';
COMMENT ON COLUMN mails.state IS 'queued, sent or failed';
COMMENT ON COLUMN mails.finished_at IS 'sent, or given up';

CREATE TABLE roles (
    id text COLLATE "C" NOT NULL,
    organization_id text COLLATE "C" NOT NULL,
    version INTEGER NOT NULL,
    name text NOT NULL,
    description text,
    permissions text[] NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (id),
    FOREIGN KEY(organization_id) REFERENCES organizations (id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX roles_by_name ON roles (organization_id, lower(name));

CREATE TABLE users (
    id text COLLATE "C" NOT NULL,
    organization_id text COLLATE "C" NOT NULL,
    version INTEGER NOT NULL,
    email text NOT NULL,
    email_key text COLLATE "C" NOT NULL,
    name text NOT NULL,
    password_hash text,
    must_reset BOOLEAN NOT NULL,
    verified_at timestamptz,
    locked_at timestamptz,
    locked_reason text,
    last_login_at timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (id),
    FOREIGN KEY(organization_id) REFERENCES organizations (id) ON DELETE CASCADE,
    UNIQUE (email_key)
);
CREATE INDEX users_of_organization ON users (organization_id, id);
COMMENT ON COLUMN users.must_reset IS 'the password has to be changed before anything else';
COMMENT ON COLUMN users.verified_at IS 'the e-mail address; null: unverified';

CREATE TABLE api_token_uses (
    organization_id text COLLATE "C" NOT NULL,
    token_id text COLLATE "C" NOT NULL,
    day DATE NOT NULL,
    requests BIGINT NOT NULL,
    PRIMARY KEY (token_id, day),
    FOREIGN KEY(organization_id) REFERENCES organizations (id) ON DELETE CASCADE,
    FOREIGN KEY(token_id) REFERENCES api_tokens (id) ON DELETE CASCADE
);

CREATE TABLE application_approvals (
    organization_id text COLLATE "C" NOT NULL,
    application_id text COLLATE "C" NOT NULL,
    approved_by text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, application_id),
    FOREIGN KEY(organization_id) REFERENCES organizations (id) ON DELETE CASCADE,
    FOREIGN KEY(application_id) REFERENCES applications (id) ON DELETE CASCADE
);

CREATE TABLE application_secrets (
    id text COLLATE "C" NOT NULL,
    organization_id text COLLATE "C" NOT NULL,
    application_id text COLLATE "C" NOT NULL,
    digest BYTEA NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    PRIMARY KEY (id),
    FOREIGN KEY(organization_id) REFERENCES organizations (id) ON DELETE CASCADE,
    FOREIGN KEY(application_id) REFERENCES applications (id) ON DELETE CASCADE
);
CREATE INDEX application_secrets_of_application ON application_secrets (application_id);
COMMENT ON COLUMN application_secrets.digest IS 'SHA-256 of 32 random bytes in base64url, with hks_ before';
COMMENT ON COLUMN application_secrets.expires_at IS 'null: the one that is current';

CREATE TABLE memberships (
    organization_id text COLLATE "C" NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    role_id text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, user_id),
    FOREIGN KEY(organization_id) REFERENCES organizations (id) ON DELETE CASCADE,
    FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);
CREATE INDEX memberships_of_user ON memberships (user_id);

CREATE TABLE oauth_consents (
    organization_id text COLLATE "C" NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    application_id text COLLATE "C" NOT NULL,
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, user_id, application_id),
    FOREIGN KEY(organization_id) REFERENCES organizations (id) ON DELETE CASCADE,
    FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE,
    FOREIGN KEY(application_id) REFERENCES applications (id) ON DELETE CASCADE
);

CREATE TABLE oauth_grants (
    id text COLLATE "C" NOT NULL,
    organization_id text COLLATE "C" NOT NULL,
    application_id text COLLATE "C" NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    revoked_reason text,
    PRIMARY KEY (id),
    FOREIGN KEY(organization_id) REFERENCES organizations (id) ON DELETE CASCADE,
    FOREIGN KEY(application_id) REFERENCES applications (id) ON DELETE CASCADE,
    FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);
CREATE INDEX oauth_grants_expires_at ON oauth_grants (expires_at);
CREATE INDEX oauth_grants_of_user ON oauth_grants (user_id, application_id);
COMMENT ON COLUMN oauth_grants.expires_at IS 'of the last that came of it';

CREATE TABLE sessions (
    id text COLLATE "C" NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    organization_id text COLLATE "C" NOT NULL,
    digest BYTEA NOT NULL,
    address text NOT NULL,
    user_agent text NOT NULL,
    created_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    PRIMARY KEY (id),
    FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE,
    FOREIGN KEY(organization_id) REFERENCES organizations (id) ON DELETE CASCADE,
    UNIQUE (digest)
);
CREATE INDEX sessions_expires_at ON sessions (expires_at);
CREATE INDEX sessions_of_user ON sessions (user_id);
COMMENT ON COLUMN sessions.digest IS 'SHA-256 of the cookie''s secret';
COMMENT ON COLUMN sessions.last_seen_at IS 'written at most once a minute';

CREATE TABLE user_links (
    id text COLLATE "C" NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    purpose text NOT NULL,
    email text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    PRIMARY KEY (id),
    FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);
CREATE INDEX user_links_expires_at ON user_links (expires_at);
CREATE INDEX user_links_of_user ON user_links (user_id);
COMMENT ON COLUMN user_links.purpose IS 'verification or reset';
COMMENT ON COLUMN user_links.email IS 'the address that it went to';

CREATE TABLE oauth_codes (
    digest BYTEA NOT NULL,
    grant_id text COLLATE "C" NOT NULL,
    redirect_uri text NOT NULL,
    redirect_uri_given BOOLEAN NOT NULL,
    code_challenge text,
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    PRIMARY KEY (digest),
    FOREIGN KEY(grant_id) REFERENCES oauth_grants (id) ON DELETE CASCADE
);
CREATE INDEX oauth_codes_expires_at ON oauth_codes (expires_at);
COMMENT ON COLUMN oauth_codes.redirect_uri_given IS 'then the token request repeats it (RFC 6749, 4.1.3)';
COMMENT ON COLUMN oauth_codes.code_challenge IS 'S256; null: PKCE was waived for the client';

CREATE TABLE oauth_refresh_tokens (
    digest BYTEA NOT NULL,
    grant_id text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    followed_by BYTEA,
    PRIMARY KEY (digest),
    FOREIGN KEY(grant_id) REFERENCES oauth_grants (id) ON DELETE CASCADE
);
CREATE INDEX oauth_refresh_tokens_expires_at ON oauth_refresh_tokens (expires_at);
CREATE INDEX oauth_refresh_tokens_of_grant ON oauth_refresh_tokens (grant_id);
COMMENT ON COLUMN oauth_refresh_tokens.followed_by IS 'the digest of the one that its use gave';

INSERT INTO organizations (id, version, name, created_at, updated_at)
SELECT id, 1, id, now(), now() FROM (
    SELECT organization_id AS id FROM subscriptions UNION SELECT organization_id FROM delivery_counts
    UNION SELECT organization_id FROM events UNION SELECT organization_id FROM replays
) AS known;

ALTER TABLE attempts ADD COLUMN organization_id text NOT NULL DEFAULT '';
UPDATE attempts SET organization_id = deliveries.organization_id FROM deliveries
    WHERE deliveries.id = attempts.delivery_id;
COMMENT ON COLUMN attempts.organization_id IS 'the delivery''s; empty: of a delivery that the log did not have';
"""
