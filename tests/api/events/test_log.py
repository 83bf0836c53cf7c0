"""Events as the log shows them, on the real PostgreSQL."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from schemas.ids import new_event_id
from tests.api.logged import Log, id_made_at
from tests.api.problem import problem_of

pytestmark = pytest.mark.postgres

PATH = "/api/v1/events"
NOW = datetime.now(UTC).replace(microsecond=0)


async def listed(api: httpx.AsyncClient, **parameters: Any) -> list[str]:
    response = await api.get(PATH, params=parameters)
    assert response.status_code == 200, response.text
    return [body["id"] for body in response.json()["data"]]


async def test_an_event_is_shown_with_what_became_of_it(api: httpx.AsyncClient, log: Log) -> None:
    body = b'{"data":{"id":"user_1"},"previous":{"name":"Ann"},"metadata":{"source":"test"}}'
    event_id = await log.event(new_event_id(), body=body, source_id="order-1")
    subscriptions = [f"sub_{number:032x}" for number in (1, 2)]
    made = [await log.delivery(event_id, subscription_id=subscription) for subscription in subscriptions]
    shown = (await api.get(f"{PATH}/{event_id}")).json()
    assert (shown["data"], shown["previous"]) == ({"id": "user_1"}, {"name": "Ann"})
    assert (shown["metadata"], shown["source_id"], shown["key"]) == ({"source": "test"}, "order-1", "user_1")
    assert [owed["delivery_id"] for owed in shown["deliveries"]] == made
    assert [owed["subscription_id"] for owed in shown["deliveries"]] == subscriptions
    assert {owed["state"] for owed in shown["deliveries"]} == {"success"}


async def test_an_event_of_a_clock_that_was_wrong_is_found_by_its_id(api: httpx.AsyncClient, log: Log) -> None:
    event_id = await log.event(id_made_at("evt", datetime(1970, 1, 2, tzinfo=UTC), 1), at=NOW)
    assert (await api.get(f"{PATH}/{event_id}")).json()["id"] == event_id
    assert await listed(api, since=NOW.isoformat()) == [event_id]


async def test_it_is_not_sent_again_to_who_has_it(api: httpx.AsyncClient, log: Log) -> None:
    event_id = await log.event(new_event_id())
    etag = (await api.get(f"{PATH}/{event_id}")).headers["etag"]
    assert (await api.get(f"{PATH}/{event_id}", headers={"If-None-Match": etag})).status_code == 304
    await log.delivery(event_id)
    assert (await api.get(f"{PATH}/{event_id}", headers={"If-None-Match": etag})).status_code == 200


async def test_each_filter_finds_what_has_it(api: httpx.AsyncClient, log: Log) -> None:
    created = await log.event(id_made_at("evt", NOW - timedelta(hours=2), 1), source_id="order-1")
    deleted = await log.event(id_made_at("evt", NOW - timedelta(hours=1), 1), type="user.deleted")
    assert await listed(api) == [deleted, created]
    assert await listed(api, order="asc") == [created, deleted]
    assert await listed(api, type="user.deleted") == [deleted]
    assert await listed(api, source_id="order-1") == [created]
    assert await listed(api, source_id="order") == []
    assert await listed(api, until=(NOW - timedelta(hours=1)).isoformat()) == [created]
    assert await listed(api, since=(NOW - timedelta(hours=1)).isoformat()) == [deleted]


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_pages_follow_each_other_in_either_order(api: httpx.AsyncClient, log: Log, order: str) -> None:
    moments = [NOW, NOW, NOW, *(NOW - timedelta(days=days) for days in (1, 3, 12, 20))]
    made = {await log.event(id_made_at("evt", at, hash((order, number)) % 10**9)) for number, at in enumerate(moments)}
    seen: list[str] = []
    cursor: str | None = None
    while cursor is not None or not seen:
        page = (
            await api.get(PATH, params={"limit": 2, "order": order, **({"cursor": cursor} if cursor else {})})
        ).json()
        seen += [body["id"] for body in page["data"]]
        cursor = page["next_cursor"]
    assert seen == sorted(made, reverse=order == "desc")


@pytest.mark.parametrize(
    ("parameter", "value"), [("order", "up"), ("source_id", "a\x00"), ("type", ""), ("since", "now"), ("cursor", "x")]
)
async def test_what_cannot_be_meant_is_said(bare_api: httpx.AsyncClient, parameter: str, value: str) -> None:
    errors = problem_of(await bare_api.get(PATH, params={parameter: value}), 422)["errors"]
    assert isinstance(errors, list)
    assert [error["parameter"] for error in errors] == [parameter]


async def test_another_organizations_are_not_there(api: httpx.AsyncClient, log: Log) -> None:
    event_id = await log.event(new_event_id(), source_id="order-1")
    stranger = {"Hookline-Organization": "org_stranger"}
    problem_of(await api.get(f"{PATH}/{event_id}", headers=stranger), 404)
    problem_of(await api.get(f"{PATH}/nonsense"), 404)
    for parameters in ({}, {"source_id": "order-1"}):
        assert (await api.get(PATH, params=parameters, headers=stranger)).json()["data"] == []
