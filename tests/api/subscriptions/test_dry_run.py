"""Filters and payloads tried out on the events that were: counted, shown, bounded, of one's own organization."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import orjson
import pytest

from api.deliveries.tables import EventRow
from api.dry_runs import routes
from api.dry_runs.bodies import MOST_EVENTS, StoppedBy
from api.dry_runs.judging import LARGEST_SHOWN_BYTES, Judge
from api.dry_runs.routes import looked_through, types_of
from schemas.catalogue import BUILT_IN
from schemas.filters import checked_filters, filters_of
from schemas.ids import EventId, OrganizationId, SubscriptionId, delivery_id_of, new_subscription_id
from schemas.payloads import payload_of
from tests.api.logged import Log, id_made_at
from tests.api.problem import pointers_of, problem_of
from tests.api.subscriptions.making import ELSEWHERE, PATH, UNKNOWN, made

pytestmark = pytest.mark.postgres

NOW = datetime.now(UTC)
RUN = f"{PATH}/dry-run"
BIG: dict[str, Any] = {"filters": [{"cel": "data.amount > 100"}]}


async def happened(log: Log, *, ago: timedelta = timedelta(minutes=1), **given: Any) -> str:
    """Add an event; return its id."""
    data = given.pop("data", {"id": "u1"})
    at = NOW - ago
    event_id = id_made_at("evt", at, uuid4().int >> 68)
    body = {
        "id": event_id, "type": given.get("type", "user.created"), "created_at": "2026-11-21T09:30:00.5Z",
        "organization_id": log.organization_id, "data": data, "previous": None, "metadata": {},
    }  # fmt: skip
    return await log.event(event_id, **{"body": orjson.dumps(body), **given})


async def tried(api: httpx.AsyncClient, path: str = RUN, **body: Any) -> dict[str, Any]:
    response = await api.post(path, json=body)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


async def test_it_says_how_many_match_of_which_types_and_how_they_would_look(api: httpx.AsyncClient, log: Log) -> None:
    small = await happened(log, data={"amount": 5}, type="quest.completed")
    large = await happened(log, data={"amount": 500, "email": "a@b.c"}, type="quest.completed")
    await happened(log, data={"amount": 101}, ago=timedelta(days=3), type="task.submitted")
    unsaid = await happened(log, data={}, ago=timedelta(days=30))
    await happened(log, data={"amount": 700}, type="task.completed")  # not asked for
    await happened(log, data={"amount": 700}, type="quest.completed", partition=-1)  # a test: on no topic
    found = await tried(
        api,
        event_types=["quest.*", "task.submitted", "user.created"],
        payload={"shape": "timestamp", "exclude": ["data.email"]},
        **BIG,
    )
    assert (found["looked_at"], found["matched"], found["failed"], found["stopped_by"]) == (4, 2, 1, "end")
    assert found["types"] == [
        {"type": "quest.completed", "looked_at": 2, "matched": 1},
        {"type": "task.submitted", "looked_at": 1, "matched": 1},
        {"type": "user.created", "looked_at": 1, "matched": 0},
    ]
    [error] = found["errors"]
    assert (error["event_id"], error["type"]) == (unsaid, "user.created")
    assert "amount" in error["error"]
    first = found["examples"][0]
    assert (first["event_id"], len(found["examples"])) == (large, 2)
    assert first["before"]["data"] == {"amount": 500, "email": "a@b.c"}
    assert first["after"] == {
        "event": "quest.completed",
        "timestamp": "2026-11-21T09:30:00Z",
        "data": {"amount": 500},
        "organization_id": log.organization_id,
    }
    assert (first["before_bytes"], first["after_bytes"]) == (
        len(orjson.dumps(first["before"])), len(orjson.dumps(first["after"]))
    )  # fmt: skip
    assert small not in str(found)


async def test_a_saved_one_is_tried_as_it_is_or_with_what_is_given_instead(api: httpx.AsyncClient, log: Log) -> None:
    event_id = await happened(log, data={"amount": 500})
    await happened(log, data={"amount": 5})
    await happened(log, data={"amount": 5}, type="user.deleted")
    subscription = await made(api, payload={"shape": "delivery"}, **BIG)
    await happened(log, data={"subscription_id": subscription["id"]}, type="subscription.disabled")
    path = f"{PATH}/{subscription['id']}/dry-run"
    own = (await api.post(path)).json()
    assert (own["looked_at"], own["matched"]) == (2, 1)
    [example] = own["examples"]
    assert example["after"]["id"] == delivery_id_of(EventId(event_id), SubscriptionId(subscription["id"]))
    assert (await tried(api, path))["matched"] == 1
    assert (await tried(api, path, filters=None))["matched"] == 2
    assert (await tried(api, path, event_types=["*"], filters=[]))["matched"] == 3  # and nothing about itself
    changed = await tried(api, path, payload=None)
    assert changed["examples"][0]["after"] == changed["examples"][0]["before"]
    thin = await tried(api, path, payload={"shape": "thin"})
    assert thin["examples"][0]["after"]["link"] == f"/api/v1/events/{event_id}"
    after = (await api.get(f"{PATH}/{subscription['id']}")).json()
    assert after["version"] == subscription["version"]  # nothing was saved


async def test_the_newest_are_looked_at_as_many_as_asked_for_and_since_when(api: httpx.AsyncClient, log: Log) -> None:
    ids = [await happened(log, ago=timedelta(minutes=1 + 200 * number)) for number in range(12)]
    await asyncio.gather(*(happened(log, ago=timedelta(days=12, seconds=number)) for number in range(103)))
    for types in (["*"], ["user.created"], ["user.**", "task.completed"]):
        limited = await tried(api, event_types=types, limit=3)
        assert (limited["looked_at"], limited["matched"], limited["stopped_by"]) == (3, 3, "limit")
        assert [each["event_id"] for each in limited["examples"]] == ids[:3]
        recent = await tried(api, event_types=types, since=(NOW - timedelta(minutes=500)).isoformat())
        assert (recent["looked_at"], recent["stopped_by"]) == (3, "end")
        every = await tried(api, event_types=types)
        assert (every["looked_at"], every["stopped_by"], len(every["examples"])) == (115, "end", 10)


async def test_another_organizations_events_are_not_looked_at(api: httpx.AsyncClient, log: Log) -> None:
    await happened(log)
    subscription = await made(api)
    there = await api.post(RUN, json={"event_types": ["*"]}, headers=ELSEWHERE)
    assert there.json()["looked_at"] == 0
    problem_of(await api.post(f"{PATH}/{subscription['id']}/dry-run", headers=ELSEWHERE), 404)
    problem_of(await api.post(f"{PATH}/{UNKNOWN}/dry-run"), 404)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/event_types"),
        ({"event_types": ["no.such"]}, "/event_types/0"),
        ({"event_types": ["*"], "filters": [{"cel": "data."}]}, "/filters/0/cel"),
        ({"event_types": ["*"], "payload": {"include": ["x"]}}, "/payload/include/0"),
        ({"event_types": ["*"], "payload": {"shape": "thin", "mask": ["personal"]}}, "/payload/mask"),
        ({"event_types": ["*"], "limit": MOST_EVENTS + 1}, "/limit"),
        ({"event_types": ["*"], "limit": 0}, "/limit"),
        ({"event_types": ["*"], "since": "yesterday"}, "/since"),
    ],
)
async def test_what_does_not_hold_is_refused_with_a_pointer(
    api: httpx.AsyncClient, body: dict[str, Any], pointer: str
) -> None:
    assert pointers_of(await api.post(RUN, json=body)) == [pointer]


async def test_what_is_too_long_to_be_shown_is_counted(api: httpx.AsyncClient, log: Log) -> None:
    await happened(log, data={"text": "x" * LARGEST_SHOWN_BYTES})
    [example] = (await tried(api, event_types=["user.created"], payload={"shape": "thin"}))["examples"]
    assert example["before"] is None
    assert example["before_bytes"] > LARGEST_SHOWN_BYTES
    assert example["after"] is not None


def judge(*filters: dict[str, Any]) -> Judge:
    return Judge(new_subscription_id(), filters_of(checked_filters(list(filters))), payload_of(None), BUILT_IN)


async def rows(count: int) -> AsyncIterator[Sequence[EventRow]]:
    body = orjson.dumps(
        {"id": "evt_1", "type": "user.created", "created_at": "2026-11-21T09:30:00Z", "organization_id": "org_1",
         "data": {"amount": 5}, "previous": None, "metadata": {}}
    )  # fmt: skip
    row = EventRow(id="evt_1", type="user.created", organization_id="org_1", created_at=NOW, at=NOW, body=body,
                   key=None, source_id=None, partition=0, offset=1, traceparent=None)  # fmt: skip
    for _ in range(count):
        yield [row] * 100


async def test_others_have_their_turn_while_it_looks() -> None:
    looking = asyncio.create_task(looked_through(judge({"cel": "data.amount > 100"}), rows(100), limit=10_000))
    longest, last = 0.0, time.process_time()
    while not looking.done():
        await asyncio.sleep(0)
        longest, last = max(longest, time.process_time() - last), time.process_time()
    assert await looking is StoppedBy.LIMIT
    assert longest < 0.25  # some ms; all of it takes longer than this


async def test_it_stops_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "LONGEST_S", 0.01)
    looking = judge({"cel": "data.amount > 100"})
    assert await looked_through(looking, rows(100), limit=10_000) is StoppedBy.TIME
    assert 0 < looking.looked_at.total() < 10_000


def test_patterns_become_the_types_that_they_take() -> None:
    organization = OrganizationId("org_1")
    assert types_of(["*"], BUILT_IN, organization) is types_of(["user.created", "**"], BUILT_IN, organization) is None
    assert types_of(["order.placed"], BUILT_IN, organization) == ["order.placed"]  # an organization's own
    users = types_of(["user.*"], BUILT_IN, organization)
    assert users is not None
    assert "user.created" in users
    assert all(name.startswith("user.") for name in users)


async def test_a_saved_one_takes_the_permission_to_see_subscriptions_too(api: httpx.AsyncClient) -> None:
    path = f"{PATH}/{(await made(api))['id']}/dry-run"
    for scopes, status in ((["events:read"], 403), (["events:read", "subscriptions:read"], 200)):
        token = (await api.post("/api/v1/api-tokens", json={"name": "t", "scopes": scopes})).json()["token"]
        as_token = {"Authorization": f"Bearer {token}"}
        assert (await api.post(path, headers=as_token)).status_code == status
        assert (await api.post(RUN, json={"event_types": ["*"]}, headers=as_token)).status_code == 200
