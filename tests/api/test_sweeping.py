"""What is over goes, what still says no stays, one sweeper at a time."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from api import sweeping
from api.sweeping import LOCK, Sweeper
from api.tables import metadata
from tests.api.projection.projecting import Db

pytestmark = pytest.mark.postgres

NOW = datetime.now(UTC).replace(microsecond=0)
SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)
GIVEN: dict[str, dict[str, Any]] = {  # what a row needs; the rest is filled in
    "users": {"id": "usr_1", "email_key": "ann@example.com"},
    "applications": {"id": "app_1"},
    "api_tokens": {"id": "tok_1"},
    "oauth_grants": {"id": "grant"},
}
FILLED: dict[str, object] = {
    "organization_id": "org_1", "user_id": "usr_1", "application_id": "app_1", "token_id": "tok_1", "grant_id": "grant",
}  # fmt: skip
# Each table, the columns that decide, and whether the row goes.
ROWS: list[tuple[str, dict[str, Any], bool]] = [
    ("sessions", {"expires_at": NOW - SECOND}, True),
    ("sessions", {"expires_at": NOW + SECOND}, False),
    ("sessions", {"expires_at": NOW + DAY, "revoked_at": NOW - SECOND}, True),
    ("user_links", {"expires_at": NOW - SECOND}, True),
    ("user_links", {"expires_at": NOW + DAY, "used_at": NOW - SECOND}, True),
    ("user_links", {"expires_at": NOW + DAY}, False),
    ("invitations", {"expires_at": NOW - 30 * DAY - SECOND}, True),
    ("invitations", {"expires_at": NOW - 29 * DAY}, False),
    ("invitations", {"expires_at": NOW + DAY, "accepted_at": NOW - 31 * DAY}, True),
    ("invitations", {"expires_at": NOW + DAY, "withdrawn_at": NOW - 31 * DAY}, True),
    ("invitations", {"expires_at": NOW + DAY, "withdrawn_at": NOW - DAY}, False),
    ("application_secrets", {"expires_at": NOW - SECOND}, True),
    ("application_secrets", {"expires_at": NOW + SECOND}, False),
    ("application_secrets", {"expires_at": None}, False),
    ("oauth_codes", {"expires_at": NOW - DAY - SECOND, "used_at": None}, True),
    ("oauth_codes", {"expires_at": NOW - HOUR, "used_at": NOW - HOUR}, False),  # its second use revokes
    ("oauth_refresh_tokens", {"expires_at": NOW - DAY - SECOND}, True),
    ("oauth_refresh_tokens", {"expires_at": NOW + DAY, "used_at": NOW - 20 * DAY}, False),  # so does its
    ("oauth_revoked_tokens", {"expires_at": NOW - DAY - SECOND}, True),
    ("oauth_revoked_tokens", {"expires_at": NOW - HOUR}, False),
    ("oauth_signing_keys", {"expires_at": NOW - DAY - SECOND}, True),
    ("oauth_signing_keys", {"expires_at": NOW + SECOND}, False),
    ("mails", {"finished_at": NOW - 30 * DAY - SECOND}, True),
    ("mails", {"finished_at": NOW - 29 * DAY}, False),
    ("mails", {"finished_at": None, "created_at": NOW - 90 * DAY}, False),
    ("api_token_uses", {"day": (NOW - 401 * DAY).date()}, True),
    ("api_token_uses", {"day": (NOW - 400 * DAY).date()}, False),
]


@pytest_asyncio.fixture
async def db(upgraded_url: str) -> AsyncIterator[Db]:
    connection = await asyncpg.connect(upgraded_url)
    await insert(connection, "organizations", id="org_1")
    for table in ("users", "applications", "api_tokens"):
        await insert(connection, table)
    yield connection
    await connection.close()


async def insert(db: Db, table: str, **given: Any) -> None:
    """Insert a row with whatever its columns take, and what is given."""
    row: dict[str, Any] = {}
    for column in metadata.tables[table].columns:
        if column.name in FILLED:
            row[column.name] = FILLED[column.name]
        elif not column.nullable and column.server_default is None:
            row[column.name] = _value_of(column.type.python_type)
    row |= {**GIVEN.get(table, {}), **given}
    places = ", ".join(f"${number}" for number in range(1, len(row) + 1))
    await db.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", *row.values())


def _value_of(kind: type) -> object:
    made = {datetime: NOW, bool: False, int: 1, list: [], str: uuid4().hex, bytes: uuid4().bytes}
    return made.get(kind, "{}")  # JSON


async def count_of(db: Db, table: str) -> int:
    return int(await db.fetchval(f"SELECT count(*) FROM {table}"))


@pytest.mark.parametrize(("table", "row", "goes"), ROWS)
async def test_what_is_over_goes_and_the_rest_stays(
    upgraded_url: str, db: Db, table: str, row: dict[str, Any], goes: bool
) -> None:
    await insert(db, "oauth_grants", expires_at=NOW + DAY)
    await insert(db, table, **row)
    counts = await Sweeper(upgraded_url).sweep(NOW)
    assert counts is not None
    assert {name: count for name, count in counts.items() if count} == ({table: 1} if goes else {})
    assert await count_of(db, table) == (0 if goes else 1)
    assert await count_of(db, "users") == await count_of(db, "applications") == await count_of(db, "api_tokens") == 1


@pytest.mark.parametrize(
    ("expires_at", "left", "goes"),
    [
        (NOW - DAY - SECOND, None, True),
        (NOW - HOUR, None, False),  # an access token of it may live
        (NOW - 40 * DAY, NOW + DAY, False),
        (NOW - 40 * DAY, NOW - 2 * DAY, True),  # with its last refresh token
    ],
)
async def test_a_grant_goes_when_nothing_is_left_of_it(
    upgraded_url: str, db: Db, expires_at: datetime, left: datetime | None, goes: bool
) -> None:
    await insert(db, "oauth_grants", expires_at=expires_at, revoked_at=NOW - 40 * DAY)
    if left is not None:
        await insert(db, "oauth_refresh_tokens", expires_at=left)
    await Sweeper(upgraded_url).sweep(NOW)
    assert await count_of(db, "oauth_grants") == (0 if goes else 1)


async def test_every_table_that_expires_is_swept() -> None:
    expiring = {name for name, table in metadata.tables.items() if "expires_at" in table.columns}
    assert expiring - {table for table, _, _ in sweeping._OVER} == {"api_tokens"}  # shown until somebody deletes it


async def test_it_goes_on_until_nothing_is_left(upgraded_url: str, db: Db, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "_BATCH", 10)
    await db.execute(
        "INSERT INTO oauth_revoked_tokens SELECT g::text, now() - interval '2 days' FROM generate_series(1, 35) g"
    )
    with capture_logs() as logs:
        counts = await Sweeper(upgraded_url).sweep(NOW)
    assert counts is not None
    assert counts["oauth_revoked_tokens"] == 35
    assert [(line["event"], line["oauth_revoked_tokens"]) for line in logs] == [("sweeping.done", 35)]


async def test_what_somebody_has_locked_waits_for_the_next_time(upgraded_url: str, db: Db) -> None:
    await insert(db, "sessions", expires_at=NOW - DAY)
    async with db.transaction():
        await db.execute("SELECT FROM sessions FOR UPDATE")
        async with asyncio.timeout(30):
            counts = await Sweeper(upgraded_url).sweep(NOW)
        assert counts is not None
        assert counts["sessions"] == 0
    assert await Sweeper(upgraded_url).sweep(NOW) == {**counts, "sessions": 1}


async def test_one_sweeper_at_a_time(upgraded_url: str, db: Db) -> None:
    await db.execute("SELECT pg_advisory_lock($1)", LOCK)
    assert await Sweeper(upgraded_url).sweep(NOW) is None
    await db.execute("SELECT pg_advisory_unlock($1)", LOCK)
    assert await Sweeper(upgraded_url).sweep(NOW) is not None


async def test_it_sweeps_at_once_and_again(upgraded_url: str, db: Db) -> None:
    running = asyncio.create_task(Sweeper(upgraded_url, every_s=0.05).run())
    try:
        for _ in range(2):
            await insert(db, "sessions", expires_at=NOW - DAY)
            async with asyncio.timeout(30):
                while await count_of(db, "sessions"):  # noqa: ASYNC110 - nobody tells of a row that goes
                    await asyncio.sleep(0.02)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_without_a_database_it_waits() -> None:
    with capture_logs() as logs:
        running = asyncio.create_task(Sweeper("postgresql://nobody@127.0.0.1:1/nothing", every_s=0.01).run())
        async with asyncio.timeout(30):
            while len(logs) < 2:  # noqa: ASYNC110 - nobody tells of a line
                await asyncio.sleep(0.01)
        assert not running.done()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert {line["event"] for line in logs} == {"sweeping.failed"}
