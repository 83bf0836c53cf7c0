"""Migrations go forward and back on a database with data, and a user who is no superuser can run them."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio

from api.migrations import NOTHING, downgrade, known_revisions, upgrade
from compose.database import DatabaseError, upgrade_database
from tests.api.conftest import client_of, settings_of

pytestmark = [pytest.mark.slow, pytest.mark.postgres]

REVISIONS = known_revisions()
# One row for each table of the first revision, and one that came with the second.
OLD_ROWS = """
INSERT INTO subscriptions (id, organization_id, version, url, event_types, secrets, timeout_ms, enabled, metadata,
    created_at, updated_at)
VALUES ('sub_1', 'org_1', 3, 'https://example.com/', '{user.*}', '{"\\\\x00"}', 5000, true, '{"a": 1}', now(), now());
INSERT INTO outbox (topic, key, headers) VALUES ('hookline.subscriptions', 'sub_1', '[]');
"""
LATER_ROWS = """
INSERT INTO event_claims VALUES ('org_1', 'source-1', 'evt_1', '\\x00', now(), NULL);
INSERT INTO deliveries (id, at, organization_id, subscription_id, event_id, event_type, state, round, attempts,
    created_at, due_at, is_test, sequence, transformation_version, event_partition, event_offset)
VALUES ('dlv_1', now(), 'org_1', 'sub_1', 'evt_1', 'user.created', 'failed', '0', 1, now(), now(), false, 1, 0, 0, 1);
INSERT INTO attempts (id, at, delivery_id, round, attempt, state, started_at, due_at, duration_ms, response_truncated,
    body_bytes, subscription_version, worker)
VALUES ('att_1', now(), 'dlv_1', '0', 1, 'failed', now(), now(), 1, false, 1, 1, 'w');
INSERT INTO outbox (topic, key, headers, value) VALUES ('hookline.deliver', NULL, '[]', '\\x01');
"""
# All that a migration can make, in an order that does not depend on when: what is the same here is the same.
CATALOGUE = """
SELECT 'column', c.relname, a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || ' ' || a.attnotnull || ' '
    || coalesce(pg_get_expr(d.adbin, d.adrelid), '') || ' ' || coalesce(col_description(c.oid, a.attnum), '')
FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace AND nspname IN ('public', 'days')
JOIN pg_attribute a ON attrelid = c.oid AND attnum > 0 AND NOT attisdropped
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum WHERE relkind IN ('r', 'p')
UNION ALL SELECT 'index', tablename, indexdef FROM pg_indexes WHERE schemaname IN ('public', 'days')
UNION ALL SELECT 'constraint', conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace
UNION ALL SELECT 'policy', tablename, policyname || qual || with_check FROM pg_policies
UNION ALL SELECT 'grant', relname, relacl::text FROM pg_class
    WHERE relacl::text LIKE '%hookline_tenant%' AND relnamespace = 'public'::regnamespace
UNION ALL SELECT 'secured', relname, relrowsecurity::text FROM pg_class
    WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace
UNION ALL SELECT 'trigger', tgrelid::regclass::text, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT 'function', proname, '' FROM pg_proc WHERE pronamespace = 'public'::regnamespace
ORDER BY 1, 2, 3
"""
Found = list[tuple[object, ...]]


@pytest_asyncio.fixture
async def db(database_url: str) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def rows(db: "asyncpg.Connection[asyncpg.Record]", query: str) -> Found:
    return [tuple(row.values()) for row in await db.fetch(query)]


@pytest.mark.parametrize("revision", REVISIONS[:-1])
async def test_back_is_where_it_was_and_the_data_of_then_is_there(
    database_url: str, db: "asyncpg.Connection[asyncpg.Record]", revision: str
) -> None:
    await upgrade(database_url, revision)
    # From 0002 on each secret has a time until which it signs.
    later = OLD_ROWS.replace("timeout_ms,", "secrets_expire_at, timeout_ms,").replace("5000,", "'{NULL}', 5000,")
    await db.execute(OLD_ROWS if revision == "0001" else later)
    made, kept = await rows(db, CATALOGUE), await rows(db, "SELECT to_jsonb(subscriptions) FROM subscriptions")
    await upgrade(database_url)
    await db.execute(LATER_ROWS)
    await downgrade(database_url, revision)
    assert await rows(db, CATALOGUE) == made
    assert await rows(db, "SELECT to_jsonb(subscriptions) FROM subscriptions") == kept
    assert len(await rows(db, "SELECT 1 FROM outbox")) == 2
    if revision != "0001":
        assert len(await rows(db, "SELECT 1 FROM deliveries JOIN event_claims USING (event_id)")) == 1


async def test_forward_again_is_the_head_with_the_data_of_the_first(
    database_url: str, db: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await upgrade(database_url)
    head = await rows(db, CATALOGUE)
    await downgrade(database_url, REVISIONS[0])
    await db.execute(OLD_ROWS)
    await upgrade(database_url)
    assert await rows(db, CATALOGUE) == head
    assert await rows(db, "SELECT id, version, paused, secrets_expire_at FROM subscriptions") == [
        ("sub_1", 3, False, [None])
    ]
    assert await rows(db, "SELECT id, name FROM organizations") == [("org_1", "org_1")]


async def test_an_attempt_gets_the_organization_of_its_delivery(
    database_url: str, db: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await upgrade(database_url, "0004")
    await db.execute(LATER_ROWS)
    await upgrade(database_url)
    assert await rows(db, "SELECT organization_id FROM attempts") == [("org_1",)]


async def test_back_to_nothing_leaves_nothing(database_url: str, db: "asyncpg.Connection[asyncpg.Record]") -> None:
    await upgrade(database_url)
    await downgrade(database_url, NOTHING)
    assert [found for found in await rows(db, CATALOGUE) if "alembic_version" not in str(found[1])] == []
    await upgrade(database_url)


@pytest_asyncio.fixture
async def owners(postgres_url: str) -> AsyncIterator[tuple[str, str]]:
    """A database whose owner is no superuser: its URL as the owner, and the owner's name."""
    connection = await asyncpg.connect(postgres_url)
    name = f"owner_{uuid4().hex}"
    await connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'an-owners-password'")
    await connection.execute(f"CREATE DATABASE {name} OWNER {name}")
    parts = urlsplit(postgres_url)
    port = f":{parts.port}" if parts.port else ""
    yield (
        urlunsplit(parts._replace(netloc=f"{name}:an-owners-password@{parts.hostname}{port}", path=f"/{name}")),
        name,
    )
    await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await connection.execute(f"REVOKE hookline_tenant FROM {name} CASCADE")
    await connection.execute(f"DROP ROLE {name}")
    await connection.close()


@pytest.mark.parametrize(
    "granted",
    ["SET TRUE", "ADMIN TRUE, SET FALSE, INHERIT FALSE"],  # an administrator's GRANT; what one's own CREATE ROLE gives
)
async def test_an_owner_who_is_no_superuser_migrates_and_serves(
    owners: tuple[str, str], shared_url: str, granted: str
) -> None:
    url, name = owners  # shared_url: the role is there already
    administrator = await asyncpg.connect(shared_url)
    await administrator.execute(f"GRANT hookline_tenant TO {name} WITH {granted}")
    await administrator.close()
    await upgrade(url)
    async with client_of(settings_of(url)) as api:
        made = await api.post("/api/v1/subscriptions", json={"url": "https://93.184.216.34/", "event_types": ["*"]})
        assert made.status_code == 201, made.text
        elsewhere = {"Hookline-Organization": "org_elsewhere"}
        assert (await api.get(made.headers["location"])).status_code == 200
        assert (await api.get(made.headers["location"], headers=elsewhere)).status_code == 404
        checks = (await api.get("/readyz")).json()["checks"]
        assert (checks["database"]["ok"], checks["migrations"]["ok"]) == (True, True)
    await downgrade(url, NOTHING)


async def test_an_owner_who_may_not_is_told_what_to_do(owners: tuple[str, str], shared_url: str) -> None:
    url, name = owners  # shared_url: the role is there, and this owner was not given it
    with pytest.raises(DatabaseError) as refused:
        await asyncio.to_thread(upgrade_database, url)
    assert f"GRANT hookline_tenant TO {name}" in str(refused.value)
    assert "an-owners-password" not in str(refused.value)
