"""What a subscription has not got yet, and why: over REST, on the real PostgreSQL."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from bench.log_filling import COUNT_ALL
from schemas.ids import new_replay_id
from schemas.topics import DELIVER, REPLAY
from tests.api.logged import Log, id_made_at
from tests.api.problem import problem_of
from tests.api.subscriptions.making import ELSEWHERE, PATH, UNKNOWN, made, rows_of

pytestmark = pytest.mark.postgres

NOW = datetime.now(UTC).replace(microsecond=0)
MINUTE = timedelta(minutes=1)
CURSOR = """
INSERT INTO cursors SELECT s.id, $2, $3, $4, 0, 7, $5, $6, $7, 1, 1, 'w' FROM subscriptions s WHERE s.id = $1
"""


async def count(url: str) -> None:
    """Have `delivery_counts` say what the log does."""
    await rows_of(url, "DELETE FROM delivery_counts")
    await rows_of(url, COUNT_ALL)


async def cursor(url: str, api: httpx.AsyncClient, subscription_id: str, **fields: Any) -> None:
    """Write where a subscription stands, as the projection does."""
    given = {"topic": DELIVER, "key": "", "organization": api.headers["Hookline-Organization"], "reason": "open"}
    row = {**given, "since": NOW, "not_before": None, **fields}
    await rows_of(url, CURSOR, subscription_id, *row.values())


async def waiting(log: Log, subscription_id: str, minutes_ago: float, **fields: Any) -> str:
    """Write an event of so long ago and its delivery; return the event's id."""
    event_id = await log.event(id_made_at("evt", NOW - minutes_ago * MINUTE, random=uuid4().int >> 68))
    await log.delivery(event_id, **{"subscription_id": subscription_id, "state": "pending", **fields})
    return event_id


def retrying(wait: timedelta, due_in: timedelta) -> dict[str, Any]:
    """Return what the log says of a delivery whose attempt took 2 s and failed `wait` before it is due again."""
    due_at = NOW + due_in
    last = due_at - wait - timedelta(milliseconds=2000)
    return {"state": "retrying", "due_at": due_at, "last_attempt_at": last, "duration_ms": 2001}


def at(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


async def test_nothing_waits_for_a_new_subscription(api: httpx.AsyncClient) -> None:
    body = await made(api)
    response = await api.get(f"{PATH}/{body['id']}/lag")
    assert (response.status_code, response.json()) == (
        200,
        {
            "oldest": None,
            "oldest_event_id": None,
            "count": 0,
            "where": [],
            "held": {"count": 0, "oldest": None},
            "behind": None,
        },
    )
    problem_of(await api.get(f"{PATH}/{UNKNOWN}/lag"), 404)
    problem_of(await api.get(f"{PATH}/{body['id']}/lag", headers=ELSEWHERE), 404)


async def test_the_lag_says_how_many_wait_where_and_which_is_the_oldest(
    api: httpx.AsyncClient, log: Log, shared_url: str
) -> None:
    it, other = (await made(api))["id"], (await made(api))["id"]
    await waiting(log, other, 99)
    await waiting(log, it, 80, state="success")
    await waiting(log, it, 75, state="failed")
    await waiting(log, it, 70, state="held")
    await waiting(log, it, 69, state="held", round=new_replay_id())
    await waiting(log, it, 68, is_test=True)
    oldest = await waiting(log, it, 60, **retrying(timedelta(hours=1), timedelta(minutes=4)))
    await waiting(log, it, 50, **retrying(timedelta(hours=1), timedelta(minutes=3)))
    await waiting(log, it, 40, **retrying(timedelta(minutes=1, seconds=3), timedelta(seconds=7)))  # and some jitter
    await waiting(log, it, 39, **retrying(timedelta(minutes=59), timedelta(minutes=9)))  # Retry-After
    await waiting(log, it, 30, round=new_replay_id())
    await waiting(log, it, 20)
    await waiting(log, it, 10)
    await count(shared_url)
    lag = (await api.get(f"{PATH}/{it}/lag")).json()

    def place(name: str, count: int, minutes_ago: int, due: timedelta | None = None) -> dict[str, Any]:
        next_due_at = None if due is None else at(NOW + due)
        return {"place": name, "count": count, "oldest": at(NOW - minutes_ago * MINUTE), "next_due_at": next_due_at}

    assert lag["where"] == [
        place("deliver", 2, 20),
        place("retry.1m", 1, 40, timedelta(seconds=7)),
        place("retry.15m", 1, 39, timedelta(minutes=9)),
        place("retry.1h", 2, 60, timedelta(minutes=3)),
        place("replay", 1, 30),
    ]
    assert (lag["count"], lag["oldest"], lag["oldest_event_id"]) == (7, at(NOW - 60 * MINUTE), oldest)
    assert lag["held"] == {"count": 2, "oldest": at(NOW - 70 * MINUTE)}
    assert lag["behind"] is None


async def test_behind_says_why_and_until_when(api: httpx.AsyncClient, log: Log, shared_url: str) -> None:
    it = (await made(api))["id"]
    await waiting(log, it, 20)
    await waiting(log, it, 10, round=new_replay_id())
    await count(shared_url)
    await cursor(shared_url, api, it, topic=REPLAY, reason="slow", since=NOW - MINUTE)
    await cursor(shared_url, api, it, key="a", reason="parked", since=NOW - 9 * MINUTE)
    await cursor(shared_url, api, it, not_before=NOW + MINUTE)
    lag = (await api.get(f"{PATH}/{it}/lag")).json()
    assert [(each["place"], each["next_due_at"]) for each in lag["where"]] == [
        ("behind", at(NOW + MINUTE)),
        ("replay", None),
    ]
    assert lag["behind"] == {"reason": "open", "since": at(NOW), "not_before": at(NOW + MINUTE), "parked_keys": 1}


async def test_parked_keys_leave_the_others_live(api: httpx.AsyncClient, log: Log, shared_url: str) -> None:
    it = (await made(api))["id"]
    await waiting(log, it, 20)
    await count(shared_url)
    for key, reason in (("a", "parked"), ("b", "blocked")):
        await cursor(shared_url, api, it, key=key, reason=reason, since=NOW - (MINUTE if key == "a" else 0 * MINUTE))
    lag = (await api.get(f"{PATH}/{it}/lag")).json()
    assert lag["where"][0]["place"] == "deliver"
    assert (lag["behind"]["reason"], lag["behind"]["parked_keys"]) == ("parked", 2)
    assert (await api.get(f"{PATH}/{it}")).json()["delivering"]["state"] == "live"


async def test_a_subscription_that_is_behind_is_shown_and_listed_so(api: httpx.AsyncClient, shared_url: str) -> None:
    it, other = await made(api), await made(api)
    live = {"state": "live", "reason": None, "since": None, "not_before": None}
    assert it["delivering"] == live
    before = await api.get(f"{PATH}/{it['id']}")
    await cursor(shared_url, api, it["id"], not_before=NOW + MINUTE)
    behind = {"state": "behind", "reason": "open", "since": at(NOW), "not_before": at(NOW + MINUTE)}
    shown = await api.get(f"{PATH}/{it['id']}", headers={"If-None-Match": before.headers["etag"]})
    assert (shown.status_code, shown.json()["delivering"]) == (200, behind)
    listed = (await api.get(PATH)).json()["data"]
    assert {each["id"]: each["delivering"] for each in listed} == {it["id"]: behind, other["id"]: live}
    again = {"If-None-Match": shown.headers["etag"]}
    assert (await api.get(f"{PATH}/{it['id']}", headers=again)).status_code == 304
    await rows_of(shared_url, "UPDATE cursors SET reason = 'slow' WHERE subscription_id = $1", it["id"])
    assert (await api.get(f"{PATH}/{it['id']}", headers=again)).json()["delivering"]["reason"] == "slow"
    # No new version: who changes it by what he saw does.
    changed = await api.patch(
        f"{PATH}/{it['id']}", json={"description": "x"}, headers={"If-Match": shown.headers["etag"]}
    )
    assert changed.status_code == 200, changed.text


async def test_anothers_cursor_is_not_shown_and_one_goes_with_its_subscription(
    api: httpx.AsyncClient, shared_url: str
) -> None:
    it = (await made(api))["id"]
    await cursor(shared_url, api, it, organization="org_another")
    assert (await api.get(f"{PATH}/{it}")).json()["delivering"]["state"] == "live"
    assert (await api.get(f"{PATH}/{it}/lag")).json()["behind"] is None
    await cursor(shared_url, api, it, key="own")
    assert (await api.delete(f"{PATH}/{it}")).status_code == 204
    left = await rows_of(shared_url, "SELECT organization_id FROM cursors WHERE subscription_id = $1", it)
    assert [row[0] for row in left] == ["org_another"]  # row-level security: no request of ours takes it away
