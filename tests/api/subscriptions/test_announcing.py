"""What an organization is told when a caller disables a subscription."""

from typing import Any

import httpx
import orjson
import pytest

from schemas.codec import decode
from schemas.records import Event
from tests.api.problem import pointers_of, problem_of
from tests.api.subscriptions.making import PATH, made, rows_of

pytestmark = pytest.mark.postgres


async def told_of(url: str, subscription_id: str) -> list[tuple[str, Any]]:
    rows = await rows_of(
        url,
        "SELECT value FROM outbox WHERE topic = 'hookline.events' AND key = $1 ORDER BY id",
        subscription_id.encode(),
    )
    events = [decode(Event, row["value"]) for row in rows]
    return [(event.type, orjson.loads(event.data)) for event in events]


@pytest.mark.parametrize("way", ["action", "patch", "put", "bulk"])
async def test_it_is_told_once_that_a_caller_disabled_it(api: httpx.AsyncClient, shared_url: str, way: str) -> None:
    body = await made(api, url="https://93.184.216.34/in?key=abc")
    at = f"{PATH}/{body['id']}"
    replacement = {"url": body["url"], "event_types": body["event_types"], "enabled": False}
    for _ in range(2):  # what is disabled already changes nothing
        response = await {
            "action": lambda: api.post(f"{at}/disable"),
            "patch": lambda: api.patch(at, json={"enabled": False}),
            "put": lambda: api.put(at, json=replacement),
            "bulk": lambda: api.post(f"{PATH}/bulk", json={"action": "disable", "ids": [body["id"]]}),
        }[way]()
        assert response.status_code == 200, response.text
    disabled_at = (await api.get(at)).json()["disabled_at"].replace("Z", "+00:00")
    ((name, data),) = await told_of(shared_url, body["id"])
    assert name == "subscription.disabled"
    assert data == {
        "subscription_id": body["id"],
        "url": "https://93.184.216.34/in",
        "reason": "manual",
        "disabled_at": disabled_at,
    }


async def test_nothing_is_told_of_what_was_never_enabled_enabled_anew_or_deleted(
    api: httpx.AsyncClient, shared_url: str
) -> None:
    body = await made(api, enabled=False)
    at = f"{PATH}/{body['id']}"
    for response in (
        await api.post(f"{at}/enable"),
        await api.patch(at, json={"description": "x"}),
        await api.delete(at),
    ):
        assert response.is_success, response.text
    assert await told_of(shared_url, body["id"]) == []


async def test_nobody_else_publishes_what_hookline_says(bare_api: httpx.AsyncClient) -> None:
    event = {"type": "subscription.disabled", "data": {"subscription_id": "sub_1", "url": "u", "reason": "gone"}}
    response = await bare_api.post("/api/v1/events", json=event)
    assert pointers_of(response) == ["/type"]
    assert "published by Hookline alone" in str(problem_of(response, 422)["detail"])
    batch = await bare_api.post("/api/v1/events/batch", json={"events": [event]})
    assert batch.json()["results"][0]["error"]["status"] == 422
