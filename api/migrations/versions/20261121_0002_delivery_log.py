"""The delivery log by day, its totals, replays, the quarantine, and what makes POSTs idempotent.

Events, deliveries and attempts have a table a day, in the schema `days`; the DEFAULT ones take what no day's takes, so
that nothing is refused. Partitions are made and dropped by the projector (api/projection/days.py).
"""

from api.migrations.statements import run

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    run(_STATEMENTS)


def downgrade() -> None:
    """Drop the log, the replays and the quarantine; what waits in the outbox stays, a record without a key has ''."""
    run(_BACK)


_BACK = """
DROP TABLE idempotency_keys, event_claims, quarantine, replay_items, replays, subscription_health, log_positions,
    delivery_counts, attempts, deliveries, events;
DROP SCHEMA days;
UPDATE outbox SET key = '' WHERE key IS NULL;
ALTER TABLE outbox ALTER COLUMN key SET NOT NULL;
COMMENT ON COLUMN outbox.key IS NULL;
ALTER TABLE subscriptions DROP COLUMN disabled_at, DROP COLUMN enabled_at, DROP COLUMN secrets_expire_at;
"""

_STATEMENTS = """
ALTER TABLE subscriptions ADD COLUMN disabled_at timestamptz;
ALTER TABLE subscriptions ADD COLUMN enabled_at timestamptz;
ALTER TABLE subscriptions ADD COLUMN secrets_expire_at timestamptz[];
COMMENT ON COLUMN subscriptions.enabled_at IS
    'the last time; attempts from before do not count towards disabling';
COMMENT ON COLUMN subscriptions.secrets_expire_at IS 'one for each of secrets, null: never';
UPDATE subscriptions SET
    secrets_expire_at = array_fill(NULL::timestamptz, ARRAY[cardinality(secrets)]),
    disabled_at = CASE WHEN enabled THEN NULL ELSE updated_at END;
ALTER TABLE subscriptions ALTER COLUMN secrets_expire_at SET NOT NULL;

ALTER TABLE outbox ALTER COLUMN key DROP NOT NULL;
COMMENT ON COLUMN outbox.key IS 'null: as it came, out of the quarantine';

CREATE TABLE events (
    id text COLLATE "C" NOT NULL,
    at timestamptz NOT NULL,
    organization_id text NOT NULL,
    type text NOT NULL,
    created_at timestamptz NOT NULL,
    key text,
    source_id text,
    body BYTEA NOT NULL,
    traceparent text,
    partition INTEGER NOT NULL,
    "offset" BIGINT NOT NULL,
    PRIMARY KEY (id, at)
) PARTITION BY RANGE (at);
CREATE INDEX events_by_digits ON events USING gin ((ARRAY[
    substr(id, 9, 4), substr(id, 10, 4), substr(id, 11, 4), substr(id, 12, 4), substr(id, 13, 4),
    substr(id, 14, 4), substr(id, 15, 4), substr(id, 16, 4), substr(id, 17, 4), substr(id, 18, 4),
    substr(id, 19, 4), substr(id, 20, 4), substr(id, 21, 4), substr(id, 22, 4), substr(id, 23, 4),
    substr(id, 24, 4), substr(id, 25, 4), substr(id, 26, 4), substr(id, 27, 4), substr(id, 28, 4),
    substr(id, 29, 4), substr(id, 30, 4), substr(id, 31, 4), substr(id, 32, 4), substr(id, 33, 4)
]));
CREATE INDEX events_by_source_id ON events (organization_id, source_id) WHERE source_id IS NOT NULL;
CREATE INDEX events_by_type ON events (organization_id, type, at, id);
CREATE INDEX events_of_organization ON events (organization_id, at, id);
COMMENT ON COLUMN events.created_at IS 'as the publisher says';
COMMENT ON COLUMN events.body IS 'what every subscriber receives';
COMMENT ON COLUMN events.partition IS 'of hookline.events; -1: on no topic, a test';

CREATE TABLE deliveries (
    id text COLLATE "C" NOT NULL,
    at timestamptz NOT NULL,
    organization_id text NOT NULL,
    subscription_id text COLLATE "C" NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    event_type text NOT NULL,
    state text NOT NULL,
    round text COLLATE "C" NOT NULL,
    attempts INTEGER NOT NULL,
    status INTEGER,
    error_kind text,
    error text,
    duration_ms BIGINT,
    created_at timestamptz NOT NULL,
    due_at timestamptz NOT NULL,
    last_attempt_at timestamptz,
    finished_at timestamptz,
    is_test BOOLEAN NOT NULL,
    key text,
    sequence BIGINT NOT NULL,
    transformation_version INTEGER NOT NULL,
    event_partition INTEGER NOT NULL,
    event_offset BIGINT NOT NULL,
    traceparent text,
    PRIMARY KEY (id, at)
) PARTITION BY RANGE (at);
CREATE INDEX deliveries_by_error_kind
    ON deliveries (organization_id, error_kind, at, id, subscription_id, event_type, state, status)
    WHERE error_kind IS NOT NULL;
CREATE INDEX deliveries_by_event_type ON deliveries (organization_id, event_type, at, id, state, status);
CREATE INDEX deliveries_by_state
    ON deliveries (organization_id, state, at, id, subscription_id, event_type, status, error_kind)
    WHERE state <> 'success';
CREATE INDEX deliveries_by_status ON deliveries (organization_id, status, at, id, event_type, state);
CREATE INDEX deliveries_by_subscription
    ON deliveries (organization_id, subscription_id, at, id, event_type, state, status, error_kind);
CREATE INDEX deliveries_of_event ON deliveries (event_id, at);
CREATE INDEX deliveries_of_organization ON deliveries (organization_id, at, id);
COMMENT ON COLUMN deliveries.at IS 'the event''s';
COMMENT ON COLUMN deliveries.state IS 'pending, retrying, success, failed or held';
COMMENT ON COLUMN deliveries.round IS '0, or the id of the replay that sends it now';
COMMENT ON COLUMN deliveries.attempts IS 'made in this round';
COMMENT ON COLUMN deliveries.status IS 'of the last answer';
COMMENT ON COLUMN deliveries.duration_ms IS 'of the last attempt';
COMMENT ON COLUMN deliveries.created_at IS 'when the event happened';
COMMENT ON COLUMN deliveries.due_at IS 'when the attempt that comes next is due, or the last was';
COMMENT ON COLUMN deliveries.finished_at IS 'success, failed or held in this round';

CREATE TABLE attempts (
    id text COLLATE "C" NOT NULL,
    at timestamptz NOT NULL,
    delivery_id text COLLATE "C" NOT NULL,
    round text COLLATE "C" NOT NULL,
    attempt INTEGER NOT NULL,
    state text NOT NULL,
    status INTEGER,
    error_kind text,
    error text,
    started_at timestamptz NOT NULL,
    due_at timestamptz NOT NULL,
    duration_ms BIGINT NOT NULL,
    next_attempt_at timestamptz,
    url text,
    address text,
    request_headers JSONB,
    response_headers JSONB,
    response_body BYTEA,
    response_truncated BOOLEAN NOT NULL,
    body_bytes BIGINT NOT NULL,
    subscription_version BIGINT NOT NULL,
    worker text NOT NULL,
    PRIMARY KEY (id, at)
) PARTITION BY RANGE (at);
CREATE INDEX attempts_of_delivery ON attempts (delivery_id, at);
COMMENT ON COLUMN attempts.attempt IS 'from 1 within the round; 0: held when it was routed';
COMMENT ON COLUMN attempts.state IS 'success, retrying, failed or held';

CREATE TABLE delivery_counts (
    organization_id text NOT NULL,
    subscription_id text COLLATE "C" NOT NULL,
    day DATE NOT NULL,
    partition INTEGER NOT NULL,
    pending BIGINT NOT NULL,
    retrying BIGINT NOT NULL,
    success BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    held BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    failed_attempts BIGINT NOT NULL,
    duration_ms BIGINT NOT NULL,
    durations BIGINT[] NOT NULL,
    PRIMARY KEY (organization_id, subscription_id, day, partition)
);
CREATE INDEX delivery_counts_by_day ON delivery_counts (day);
COMMENT ON COLUMN delivery_counts.duration_ms IS 'of all attempts together';

CREATE TABLE log_positions (
    topic text NOT NULL,
    partition INTEGER NOT NULL,
    next_offset BIGINT NOT NULL,
    cluster_id text NOT NULL,
    topic_id text NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (topic, partition)
);
COMMENT ON COLUMN log_positions.topic_id IS 'another one: the topic was made anew, its offsets too';

CREATE TABLE subscription_health (
    subscription_id text COLLATE "C" NOT NULL,
    organization_id text NOT NULL,
    failed_attempts BIGINT NOT NULL,
    failing_since timestamptz,
    exhausted BIGINT NOT NULL,
    last_attempt_at timestamptz,
    last_success_at timestamptz,
    last_error text,
    PRIMARY KEY (subscription_id)
);
COMMENT ON COLUMN subscription_health.failed_attempts IS 'in a row';
COMMENT ON COLUMN subscription_health.failing_since IS 'the first of them';
COMMENT ON COLUMN subscription_health.exhausted IS 'deliveries in a row that were given up';

CREATE TABLE replays (
    id text COLLATE "C" NOT NULL,
    organization_id text NOT NULL,
    is_retry BOOLEAN NOT NULL,
    state text NOT NULL,
    subscription_id text COLLATE "C",
    event_types text[],
    delivery_state text,
    since timestamptz,
    until timestamptz,
    rate_per_s DOUBLE PRECISION NOT NULL,
    total INTEGER NOT NULL,
    sent INTEGER NOT NULL,
    succeeded INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    held INTEGER NOT NULL,
    skipped INTEGER NOT NULL,
    cancelled INTEGER NOT NULL,
    created_at timestamptz NOT NULL,
    started_at timestamptz,
    finished_at timestamptz,
    PRIMARY KEY (id)
);
CREATE INDEX replays_of_organization ON replays (organization_id, id);
CREATE INDEX replays_unfinished ON replays (state, id) WHERE finished_at IS NULL;
COMMENT ON COLUMN replays.sent IS 'this and the next five: items, as the runner counted them last';
COMMENT ON COLUMN replays.finished_at IS 'all has ended; a cancelled one may wait for what was sent';

CREATE TABLE replay_items (
    replay_id text COLLATE "C" NOT NULL,
    delivery_id text COLLATE "C" NOT NULL,
    subscription_id text COLLATE "C" NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    state text NOT NULL,
    detail text,
    sent_at timestamptz,
    finished_at timestamptz,
    PRIMARY KEY (replay_id, delivery_id)
);
CREATE INDEX replay_items_by_state ON replay_items (replay_id, state, delivery_id);
CREATE UNIQUE INDEX replay_items_under_way ON replay_items (delivery_id) WHERE state IN ('queued', 'sent');

CREATE TABLE quarantine (
    id text COLLATE "C" NOT NULL,
    at timestamptz NOT NULL,
    topic text NOT NULL,
    partition INTEGER NOT NULL,
    "offset" BIGINT NOT NULL,
    stage text NOT NULL,
    error_class text NOT NULL,
    error text NOT NULL,
    key BYTEA,
    value BYTEA,
    headers JSONB NOT NULL,
    retried_at timestamptz,
    PRIMARY KEY (id)
);
COMMENT ON COLUMN quarantine.topic IS 'where it came from, and where a retry puts it again';
COMMENT ON COLUMN quarantine.stage IS 'route, deliver, move, index or projection';
COMMENT ON COLUMN quarantine.headers IS '[[name, base64 of the value], …]';

CREATE TABLE event_claims (
    organization_id text NOT NULL,
    source_id text NOT NULL,
    event_id text NOT NULL,
    fingerprint BYTEA NOT NULL,
    created_at timestamptz NOT NULL,
    produced_at timestamptz,
    PRIMARY KEY (organization_id, source_id)
);
CREATE INDEX event_claims_created_at ON event_claims (created_at);
COMMENT ON COLUMN event_claims.fingerprint IS 'SHA-256 of what was published under it';

CREATE TABLE idempotency_keys (
    organization_id text NOT NULL,
    key text NOT NULL,
    fingerprint BYTEA NOT NULL,
    status INTEGER,
    answer BYTEA,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, key)
);
CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at);
COMMENT ON COLUMN idempotency_keys.fingerprint IS 'SHA-256 of method, path, query and body';
COMMENT ON COLUMN idempotency_keys.answer IS 'sealed: headers and body';

CREATE SCHEMA days;
CREATE TABLE days.events_default PARTITION OF events DEFAULT;
CREATE TABLE days.deliveries_default PARTITION OF deliveries DEFAULT;
CREATE TABLE days.attempts_default PARTITION OF attempts DEFAULT;
"""
