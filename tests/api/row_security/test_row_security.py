"""The second lock: bound to an organization, PostgreSQL itself shows and takes no row of another one.

Each claim is made of every table there is, found in the catalogue: a new one fails until it has a policy, or no grant.
"""

from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from api.database import engine_of, tenant_transaction_of
from schemas.ids import OrganizationId
from tests.api.conftest import settings_of
from tests.api.row_security.catalogue import ROLE, tables_of
from tests.api.row_security.filling import TABLES, fill, row_of

pytestmark = pytest.mark.postgres

A, B = "org_a", "org_b"
# Why each of these may be read or written without a policy.
OPEN = {
    "alembic_version": {"SELECT"},  # the revision
    "log_positions": {"SELECT"},  # how far the log is, of all
    "cursor_claims": {"SELECT"},  # which worker says where subscriptions stand
    "outbox": {"INSERT"},  # on its way to Kafka: the role reads none of it
}
CLOSED = {  # what no request bound to an organization reads: the quarantine, and what is secret while it lives
    "oauth_codes", "oauth_refresh_tokens", "oauth_revoked_tokens", "oauth_signing_keys", "quarantine",
}  # fmt: skip
BELONGS_BY = {"organizations": "id", "replay_items": "replay_id", "user_links": "user_id"}  # else organization_id
APPEND_ONLY = {"audit_log", "events", "mails", "transformations"}  # no UPDATE, no DELETE


@pytest_asyncio.fixture
async def filled_url(upgraded_url: str) -> str:
    """A database with a row of two organizations in every table."""
    for organization_id in (A, B):
        await fill(upgraded_url, organization_id)
    return upgraded_url


@pytest_asyncio.fixture
async def bound(filled_url: str) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    """A connection as the API's transactions are: of the role, bound to A."""
    connection = await asyncpg.connect(filled_url)
    await connection.execute(f"SET ROLE {ROLE}; SET hookline.organization_id = '{A}'")
    yield connection
    await connection.close()


def mentions(row: asyncpg.Record, organization_id: str) -> bool:
    return organization_id in repr(tuple(row.values()))


async def test_every_table_has_a_policy_or_no_grant(upgraded_url: str) -> None:
    found = await tables_of(upgraded_url)
    assert set(found) == {*TABLES, "alembic_version"}
    secured = {name for name, (is_secured, _, policies) in found.items() if is_secured and policies}
    granted = {name: set(grants) for name, (_, grants, _) in found.items() if grants}
    assert {name: grants for name, grants in granted.items() if name not in secured} == OPEN
    assert set(found) - set(granted) == CLOSED
    assert {name for name, grants in granted.items() if not grants & {"UPDATE", "DELETE"}} - set(OPEN) - {
        "attempts", "api_token_uses"  # only read
    } == APPEND_ONLY  # fmt: skip
    for name, grants in granted.items():
        assert grants <= {"SELECT", "INSERT", "UPDATE", "DELETE"}, name


async def test_the_role_owns_nothing_and_is_nothing_special(upgraded_url: str) -> None:
    connection = await asyncpg.connect(upgraded_url)
    role = await connection.fetchrow(
        "SELECT rolcanlogin, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = $1", ROLE
    )
    owned = await connection.fetchval("SELECT count(*) FROM pg_class WHERE relowner = $1::regrole", ROLE)
    members = await connection.fetch("SELECT 1 FROM pg_auth_members WHERE member = $1::regrole", ROLE)
    days = await connection.fetchval("SELECT has_schema_privilege($1, 'days', 'USAGE')", ROLE)
    await connection.close()
    assert role is not None
    assert (set(role.values()), owned, members, days) == ({False}, 0, [], False)


async def test_a_query_without_where_returns_nothing_foreign(
    bound: "asyncpg.Connection[asyncpg.Record]", filled_url: str
) -> None:
    owner = await asyncpg.connect(filled_url)
    for name, (_, grants, policies) in (await tables_of(filled_url)).items():
        if "SELECT" not in grants:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await bound.fetch(f"SELECT * FROM {name}")
            continue
        everything, seen = await owner.fetch(f"SELECT * FROM {name}"), await bound.fetch(f"SELECT * FROM {name}")
        if policies:
            assert any(mentions(row, B) for row in everything), name  # else this would prove nothing
            assert [mentions(row, A) for row in seen] == [True], name
        assert not any(mentions(row, B) for row in seen if policies), name
    await owner.close()


async def test_unbound_the_role_sees_nothing(filled_url: str) -> None:
    connection = await asyncpg.connect(filled_url)
    await connection.execute(f"SET ROLE {ROLE}")
    for setting in (None, "", "org_nobody", "%", "org_a' OR true OR '"):
        if setting is not None:
            await connection.execute("SELECT set_config('hookline.organization_id', $1, false)", setting)
        for name, (_, grants, policies) in (await tables_of(filled_url)).items():
            if policies and "SELECT" in grants:
                assert await connection.fetch(f"SELECT * FROM {name}") == [], (name, setting)
    await connection.close()


async def test_nothing_foreign_can_be_written(bound: "asyncpg.Connection[asyncpg.Record]", filled_url: str) -> None:
    tried = 0
    for name, (_, grants, policies) in (await tables_of(filled_url)).items():
        if not policies:
            continue
        columns, values = row_of(TABLES[name], B)
        places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
        with pytest.raises(asyncpg.InsufficientPrivilegeError):  # before any key is found to be there already
            await bound.execute(f"INSERT INTO {name} ({', '.join(columns)}) VALUES ({places})", *values)
        its = BELONGS_BY.get(name, "organization_id")
        value = dict(zip(columns, values, strict=True)).get(f'"{its}"')
        if "UPDATE" in grants:
            assert await bound.execute(f'UPDATE {name} SET "{its}" = "{its}" WHERE "{its}" = $1', value) == "UPDATE 0"
            with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.ForeignKeyViolationError)):
                await bound.execute(f'UPDATE {name} SET "{its}" = $1', value)  # to give it away
        if "DELETE" in grants:
            assert await bound.execute(f'DELETE FROM {name} WHERE "{its}" = $1', value) == "DELETE 0"
        tried += 1
    assert tried >= 25


async def test_all_of_it_can_be_deleted_and_the_other_loses_nothing(
    bound: "asyncpg.Connection[asyncpg.Record]", filled_url: str
) -> None:
    owner = await asyncpg.connect(filled_url)
    found = await tables_of(filled_url)
    for name in reversed(TABLES):
        _, grants, policies = found[name]
        if policies and "DELETE" in grants:
            await bound.execute(f"DELETE FROM {name}")
            left = await owner.fetch(f"SELECT * FROM {name}")
            assert any(mentions(row, B) for row in left), name
    await owner.close()


@pytest_asyncio.fixture
async def engine(filled_url: str) -> AsyncIterator[AsyncEngine]:
    engine = engine_of(settings_of(filled_url, database_connections=1))
    yield engine
    await engine.dispose()


async def test_the_apis_transaction_is_bound_and_its_connection_is_free_again_after_it(engine: AsyncEngine) -> None:
    seen = text("SELECT current_user, current_setting('hookline.organization_id', true), (SELECT count(*) FROM users)")
    for organization_id in (A, B):
        async with tenant_transaction_of(engine, OrganizationId(organization_id)) as db:
            assert (await db.execute(seen)).one() == (ROLE, organization_id, 1)
    async with engine.connect() as connection:  # the same one of the pool: nothing of the binding is left
        user, setting, users = (await connection.execute(seen)).one()
    assert (user == ROLE, setting, users) == (False, "", 2)


async def test_a_transaction_that_fails_leaves_no_binding_either(engine: AsyncEngine) -> None:
    async def fail() -> None:
        async with tenant_transaction_of(engine, OrganizationId(A)) as db:
            await db.execute(text("SELECT 1"))
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    async with engine.connect() as connection:
        assert (await connection.execute(text("SELECT current_user"))).scalar_one() != ROLE


async def test_a_members_user_is_seen_where_it_is_a_member_and_changed_at_home_only(
    bound: "asyncpg.Connection[asyncpg.Record]", filled_url: str
) -> None:
    owner = await asyncpg.connect(filled_url)
    await owner.execute("UPDATE memberships SET organization_id = $1 WHERE organization_id = $2", A, B)
    assert len(await bound.fetch("SELECT * FROM user_links")) == 1
    assert len(await bound.fetch("SELECT * FROM users")) == 2
    assert await bound.execute(f"UPDATE users SET name = 'theirs' WHERE organization_id = '{B}'") == "UPDATE 0"
    assert await bound.execute(f"DELETE FROM users WHERE organization_id = '{B}'") == "DELETE 0"
    await owner.close()


async def test_a_name_of_an_organization_is_a_value_and_no_sql(upgraded_url: str) -> None:
    engine = engine_of(settings_of(upgraded_url))
    odd = f"org_'; RESET ROLE; SELECT '{uuid4().hex}"
    async with tenant_transaction_of(engine, OrganizationId(odd)) as db:
        asked = text("SELECT current_user, current_setting('hookline.organization_id')")
        assert (await db.execute(asked)).one() == (ROLE, odd)
    await engine.dispose()
