"""The audit log as a file: all of it once, in constant memory, and no formula in a spreadsheet."""

import csv
import io
import json
import tracemalloc
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
import pytest_asyncio

from api.audit.exporting import ExportFormat, exported
from api.audit.reading import Wanted
from api.database import engine_of
from schemas.ids import OrganizationId
from tests.api.conftest import settings_of

pytestmark = pytest.mark.postgres

EXPORT = "/api/v1/audit/export"
ADD = """
INSERT INTO audit_log (id, organization_id, at, actor_kind, actor_id, actor_name, action, changes, address, user_agent,
    request_id)
SELECT 'aud_' || lpad(to_hex((extract(epoch FROM moment) * 1000)::bigint), 12, '0') || lpad(n::text, 20, '0'), $1,
    moment, 'session', 'usr_1', $2, 'change_subscription', '{"a": 1}', '203.0.113.7', repeat('x', 200), 'req_' || n
FROM generate_series(1, $3::int) AS n, LATERAL (SELECT $4::timestamptz + n * interval '1 ms' AS moment) AS at
"""


@pytest_asyncio.fixture
async def db(shared_url: str) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    connection = await asyncpg.connect(shared_url)
    yield connection
    await connection.close()


async def add(
    db: "asyncpg.Connection[asyncpg.Record]", organization_id: str, *, name: str = "Ada", count: int = 1, hours: int = 1
) -> None:
    await db.execute(ADD, organization_id, name, count, datetime.now(UTC) - timedelta(hours=hours))


def organization_of(api: httpx.AsyncClient) -> str:
    return str(api.headers["Hookline-Organization"])


def cells(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


async def test_both_formats_have_every_entry_once_oldest_first(
    api: httpx.AsyncClient, db: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await add(db, organization_of(api), count=2500)
    await add(db, organization_of(api), count=1, hours=31 * 24)  # before what is exported unless asked for
    as_csv, as_lines = await api.get(f"{EXPORT}?format=csv"), await api.get(f"{EXPORT}?format=jsonl")
    assert as_csv.headers["content-type"] == "text/csv; charset=utf-8"
    assert as_lines.headers["content-type"] == "application/x-ndjson"
    assert as_csv.headers["content-disposition"].startswith('attachment; filename="audit-')
    assert as_csv.headers["cache-control"] == "no-store"
    lines: list[dict[str, Any]] = [json.loads(line) for line in as_lines.text.splitlines()]
    rows = cells(as_csv.text)
    assert [line["request_id"] for line in lines] == [f"req_{n}" for n in range(1, 2501)]
    assert [row["request_id"] for row in rows] == [line["request_id"] for line in lines]
    assert json.loads(rows[0]["changes"]) == lines[0]["changes"] == {"a": 1}
    assert lines[0] == (await api.get("/api/v1/audit", params={"limit": 1, "until": lines[1]["at"]})).json()["data"][0]
    since = (datetime.now(UTC) - timedelta(days=40)).isoformat()
    everything = await api.get(EXPORT, params={"format": "csv", "since": since})
    assert len(cells(everything.text)) == 2501


@pytest.mark.parametrize(
    "name",
    ['=HYPERLINK("http://x","y")', "+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "＋1", "－1", "＠x"],
)
async def test_a_cell_is_no_formula(
    api: httpx.AsyncClient, db: "asyncpg.Connection[asyncpg.Record]", name: str
) -> None:
    await add(db, organization_of(api), name=name)
    text = (await api.get(f"{EXPORT}?format=csv")).text
    assert cells(text)[0]["actor_name"] == f"'{name}"
    [line] = (await api.get(f"{EXPORT}?format=jsonl")).text.splitlines()
    assert json.loads(line)["actor"]["name"] == name  # as it is: nobody computes JSON


@pytest.mark.parametrize("name", ['a "b", c', "a\nb", "a\r\n=1+1", "ä,ö;'", "x=1", "日本"])
async def test_what_needs_quotes_gets_them(
    api: httpx.AsyncClient, db: "asyncpg.Connection[asyncpg.Record]", name: str
) -> None:
    await add(db, organization_of(api), name=name)
    [row] = cells((await api.get(f"{EXPORT}?format=csv")).text)
    assert row["actor_name"] == name


async def test_an_export_is_filtered_as_a_list_is(
    api: httpx.AsyncClient, db: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await add(db, organization_of(api), count=3)
    params = {"format": "jsonl", "actor": "usr_1", "action": "change_subscription"}
    assert len((await api.get(EXPORT, params=params)).text.splitlines()) == 3
    assert (await api.get(EXPORT, params={**params, "actor": "usr_2"})).text == ""


@pytest.mark.slow
async def test_a_long_log_does_not_fill_the_memory(shared_url: str, db: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Ten times as many entries take no more memory: a batch or two at a time are held."""
    engine = engine_of(settings_of(shared_url))
    peaks = []
    for count in (2_000, 20_000):
        organization_id = OrganizationId(f"org_{uuid4().hex}")
        await add(db, organization_id, count=count)
        tracemalloc.start()
        written = exported(engine, organization_id, Wanted(), ExportFormat.JSONL)
        lines = sum([part.count(b"\n") async for part in written])
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert lines == count
    await engine.dispose()
    assert peaks[1] < 1.5 * peaks[0]
