"""Subscriptions and test sends know the organization's own event types, and no other organization's."""

from uuid import uuid4

import httpx
import pytest

from tests.api.event_types.defining import define
from tests.api.problem import problem_of

pytestmark = pytest.mark.postgres

SUBSCRIPTIONS = "/api/v1/subscriptions"


async def test_a_pattern_may_name_an_own_type_and_one_that_matches_nothing_is_pointed_at(
    api: httpx.AsyncClient,
) -> None:
    name = (await define(api, name=f"parcel_{uuid4().hex[:8]}.lost"))["name"]
    family = f"{name.partition('.')[0]}.*"
    body = {"url": "https://93.184.216.34/", "event_types": ["user.*", name, family]}
    made = await api.post(SUBSCRIPTIONS, json=body)
    assert made.status_code == 201, made.text
    url = f"{SUBSCRIPTIONS}/{made.json()['id']}"
    other = {"Hookline-Organization": f"org_{uuid4().hex}"}
    wrong = {**body, "event_types": ["user.*", "nope.*"]}
    for answer, pointer in (
        (await api.post(SUBSCRIPTIONS, json=wrong), "/event_types/1"),
        (await api.put(url, json=wrong), "/event_types/1"),
        (await api.patch(url, json={"event_types": ["nope.*"]}), "/event_types/0"),
        (await api.post(SUBSCRIPTIONS, json=body, headers=other), "/event_types/1"),
    ):
        document = problem_of(answer, 422)
        assert "matches no event type" in str(document["detail"])
        assert document["errors"][0]["pointer"] == pointer  # type: ignore[index] # a list of objects


async def test_what_is_no_type_of_the_organizations_cannot_be_tried(api: httpx.AsyncClient) -> None:
    made = await api.post(SUBSCRIPTIONS, json={"url": "https://93.184.216.34/", "event_types": ["*"]})
    answer = await api.post(f"{SUBSCRIPTIONS}/{made.json()['id']}/test", json={"event_type": "parcel.unknown"})
    assert problem_of(answer, 422)["errors"][0]["pointer"] == "/event_type"  # type: ignore[index] # a list of objects
