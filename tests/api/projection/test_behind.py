"""Where subscriptions stand that are behind: `hookline.behind` as a table, whoever writes late."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
import pytest_asyncio
from prometheus_client import REGISTRY

from api.projection.behind import Writer, folded
from api.projection.reading import ClaimSeen, CursorSeen, Fetched, Poison, Topics, seen_in
from schemas.codec import encode
from schemas.headers import Headers, writer_header
from schemas.ids import new_subscription_id
from schemas.records import Claim, Cursor
from schemas.topics import BEHIND, DELIVER
from tests.api.projection.projecting import ORGANIZATION, Db, Stage, running, until, until_count

NOW = datetime(2026, 11, 21, 5, 0, tzinfo=UTC)
SUB = new_subscription_id()
CURSOR = Cursor(
    topic=DELIVER,
    subscription_id=SUB,
    organization_id=ORGANIZATION,
    next=7,
    reason="open",
    since=NOW,
    not_before=NOW + timedelta(seconds=30),
)
KEY = f"{DELIVER}|{SUB}".encode()
OURS = writer_header(3, "worker-0")


def fetched(value: bytes | None, *, key: bytes | None = KEY, headers: Headers | None = None) -> Fetched:
    return Fetched(BEHIND, 5, 1, key, value, [OURS] if headers is None else headers, NOW)


def claim(epoch: int, writer: str, *, partition: int = 5) -> ClaimSeen:
    return ClaimSeen(Claim(writer=writer, epoch=epoch, since=NOW), partition)


def cursor(epoch: int, writer: str, *, to: int | None = 7, key: str = "") -> CursorSeen:
    at = None if to is None else replace(CURSOR, next=to)
    return CursorSeen(topic=DELIVER, subscription_id=SUB, key=key, cursor=at, epoch=epoch, writer=writer, partition=5)


def test_a_cursor_is_read_with_the_key_of_its_record() -> None:
    of_a_key = seen_in(fetched(encode(replace(CURSOR, key="a|b")), key=KEY + b"|a|b"), Topics())
    assert of_a_key == CursorSeen(
        topic=DELIVER,
        subscription_id=SUB,
        key="a|b",
        cursor=replace(CURSOR, key="a|b"),
        epoch=3,
        writer="worker-0",
        partition=5,
    )
    gone = seen_in(fetched(None), Topics())
    assert isinstance(gone, CursorSeen)
    assert (gone.cursor, gone.key, gone.subscription_id) == (None, "", SUB)
    claimed = Claim(writer="w\x00", epoch=4, since=NOW)
    seen = seen_in(fetched(encode(claimed), key=b"claim", headers=[]), Topics())
    assert seen == ClaimSeen(replace(claimed, writer="w\ufffd"), 5)


@pytest.mark.parametrize(
    "odd",
    [
        fetched(b"\x00 no Avro"),
        fetched(encode(CURSOR), headers=[]),
        fetched(encode(CURSOR), headers=[(OURS[0], b"worker-0")]),
        fetched(encode(CURSOR), headers=[(OURS[0], b"9223372036854775808|w")]),
        fetched(encode(CURSOR), headers=[(OURS[0], b"-1|w")]),
        fetched(encode(CURSOR), headers=[(OURS[0], b"1|\xff")]),
        fetched(encode(CURSOR), key=None),
        fetched(encode(CURSOR), key=b"no bar"),
        fetched(encode(CURSOR), key=b"\xff|\xff"),
        fetched(None, key=b"claim"),
        fetched(encode(Claim(writer="w", epoch=-1, since=NOW)), key=b"claim"),
        fetched(encode(replace(CURSOR, organization_id="not one!"))),  # type: ignore[arg-type] # another client's
    ],
)
def test_what_cannot_be_read_is_poison(odd: Fetched) -> None:
    assert isinstance(seen_in(odd, Topics()), Poison)


@pytest.mark.parametrize(
    ("newest", "seen", "stands", "zombies"),
    [
        (None, [cursor(1, "a")], [], 1),  # nobody claimed anything
        (None, [claim(1, "a"), cursor(1, "a")], [7], 0),
        ((1, "a"), [cursor(1, "a"), cursor(1, "a", to=9)], [9], 0),
        ((1, "a"), [cursor(1, "a"), cursor(1, "a", to=None)], [None], 0),
        ((1, "a"), [cursor(1, "b")], [], 1),
        ((2, "b"), [cursor(1, "a"), cursor(3, "b")], [], 2),
        ((1, "a"), [claim(2, "b"), cursor(1, "a"), cursor(2, "b", to=9), cursor(1, "a", to=None)], [9], 2),
        ((1, "a"), [claim(1, "b"), cursor(1, "b"), cursor(1, "a", to=8)], [8], 1),  # of one epoch the first counts
        ((2, "a"), [claim(1, "b"), cursor(1, "b")], [], 1),
        (None, [claim(1, "a", partition=4), cursor(1, "a")], [], 1),
    ],
)
def test_a_cursor_counts_by_the_newest_claim_before_it(
    newest: tuple[int, str] | None, seen: list[ClaimSeen | CursorSeen], stands: list[int | None], zombies: int
) -> None:
    known = {} if newest is None else {5: Writer(*newest)}
    _, cursors, ignored = folded(known, seen)
    assert [one.cursor and one.cursor.next for one in cursors.values()] == stands
    assert ignored == zombies


@pytest_asyncio.fixture
async def db(upgraded_url: str) -> AsyncIterator[Db]:
    connection = await asyncpg.connect(upgraded_url)
    yield connection
    await connection.close()


def put(stage: Stage, value: bytes | None, *, key: bytes = KEY, by: tuple[str, bytes] = OURS) -> None:
    stage.producer.produce(stage.topics.behind, value, key=key, headers=[by], partition=1)
    assert stage.producer.flush(30) == 0


INSERT = """
INSERT INTO subscriptions (id, organization_id, version, url, event_types, secrets, timeout_ms, enabled,
    secrets_expire_at, metadata, created_at, updated_at)
VALUES ($1, $2, 1, 'https://example.com', '{*}', '{}', 5000, true, '{}', '{}', now(), now())
"""


@pytest.mark.kafka
@pytest.mark.postgres
async def test_cursors_come_and_go_and_a_zombies_are_ignored(bootstrap: str, upgraded_url: str, db: Db) -> None:
    stage, late = Stage(bootstrap, upgraded_url).create(), writer_header(2, "worker-0")
    put(stage, encode(Claim(writer="worker-0", epoch=2, since=NOW)), key=b"claim", by=late)
    put(stage, encode(CURSOR), by=late)
    put(stage, encode(replace(CURSOR, key="k")), key=KEY + b"|k", by=late)
    async with running(stage.projector()):
        await until_count(db, "cursors", 2)
        put(stage, encode(Claim(writer="worker-0", epoch=3, since=NOW)), key=b"claim")
        put(stage, b"no Avro")
        put(stage, None, key=KEY + b"|k")
        put(stage, None, by=late)
        put(stage, encode(replace(CURSOR, next=12)))
        put(stage, encode(replace(CURSOR, next=9)), by=late)
        put(stage, encode(CURSOR), key=b"t|sub_last")
        await until_count(db, "cursors", 1, where="subscription_id = 'sub_last'")
    row = await db.fetchrow("SELECT * FROM cursors WHERE subscription_id = $1", SUB)
    assert row is not None
    assert (row["topic"], row["key"], row["organization_id"], row["partition"]) == (DELIVER, "", ORGANIZATION, 1)
    assert (row["next"], row["reason"], row["since"], row["not_before"]) == (12, "open", NOW, CURSOR.not_before)
    assert (row["attempt"], row["epoch"], row["writer"]) == (1, 3, "worker-0")
    assert await db.fetchval("SELECT count(*) FROM cursors") == 2
    assert await db.fetchval("SELECT value FROM quarantine") == b"no Avro"


@pytest.mark.kafka
@pytest.mark.postgres
async def test_a_topic_of_cursors_that_was_made_anew_has_other_cursors(
    bootstrap: str, upgraded_url: str, db: Db
) -> None:
    """Its epochs begin anew, and nobody takes the old ones away."""
    stage = Stage(bootstrap, upgraded_url).create()
    put(stage, encode(Claim(writer="worker-0", epoch=3, since=NOW)), key=b"claim")
    put(stage, encode(CURSOR))
    async with running(stage.projector()):
        await until_count(db, "cursors", 1)
    await db.execute("UPDATE log_positions SET topic_id = 'another' WHERE topic = $1", stage.topics.behind)
    async with running(stage.projector()) as projector:
        await projector.placed.wait()
        await until_count(db, "cursors", 1, where="epoch = 3")
        await until_count(db, "cursor_claims", 1)
    await db.execute("UPDATE log_positions SET topic_id = 'another' WHERE topic = $1", stage.topics.behind)
    stage.delete(stage.topics.behind)
    empty = Stage(bootstrap, upgraded_url, stage.prefix)

    async def is_made() -> bool:
        try:
            empty.create([empty.topics.behind])
        except Exception:  # noqa: BLE001 - the broker has not forgotten it yet
            return False
        return True

    await until(is_made)
    async with running(empty.projector()):
        await until_count(db, "cursors", 0)
        await until_count(db, "cursor_claims", 0)


@pytest.mark.kafka
@pytest.mark.postgres
async def test_prometheus_is_told_how_many_are_behind_and_why(bootstrap: str, upgraded_url: str, db: Db) -> None:
    stage, odd = Stage(bootstrap, upgraded_url).create(), new_subscription_id()
    for subscription in (SUB, odd):
        await db.execute(INSERT, subscription, ORGANIZATION)
    put(stage, encode(Claim(writer="worker-0", epoch=3, since=NOW)), key=b"claim")
    put(stage, encode(CURSOR))
    put(stage, encode(replace(CURSOR, topic="replay")), key=f"replay|{SUB}".encode())
    put(stage, encode(replace(CURSOR, key="k")), key=KEY + b"|k")
    put(stage, encode(replace(CURSOR, reason="something new")), key=f"{DELIVER}|{odd}".encode())
    put(stage, encode(CURSOR), key=f"{DELIVER}|sub_deleted".encode())
    projector = stage.projector()
    async with running(projector):
        await until_count(db, "cursors", 5)
        await projector._look_at_those_behind()
    counts = {
        reason: REGISTRY.get_sample_value("hookline_subscriptions_behind", {"reason": reason})
        for reason in ("open", "slow", "another")
    }
    assert counts == {"open": 1, "slow": 0, "another": 1}
