"""One action for many: a result for each, in one transaction."""

import asyncio

import httpx
import pytest

from schemas.ids import new_subscription_id
from tests.api.problem import pointers_of
from tests.api.subscriptions.making import (
    MINIMAL,
    PATH,
    UNKNOWN,
    failed_in_a_row,
    made,
    outbox_of,
    rows_of,
)

pytestmark = pytest.mark.postgres

AT = f"{PATH}/bulk"
SOMEBODY = {"Hookline-Organization": "org_somebodys"}


async def test_each_has_its_result_in_the_order_asked_for(api: httpx.AsyncClient, shared_url: str) -> None:
    one, two = (await made(api))["id"], (await made(api, enabled=False))["id"]
    theirs = (await api.post(PATH, json=MINIMAL, headers=SOMEBODY)).json()["id"]
    ids = [two, UNKNOWN, theirs, "nope", one]
    response = await api.post(AT, json={"action": "disable", "ids": ids})
    assert response.status_code == 200, response.text
    results = response.json()["results"]
    assert [(result["id"], result["ok"]) for result in results] == [
        (two, True),
        (UNKNOWN, False),
        (theirs, False),
        ("nope", False),
        (one, True),
    ]
    not_found = {
        "type": "urn:hookline:problem:not-found",
        "title": "Not found",
        "status": 404,
        "detail": "this organization has no subscription of this id",
    }
    assert [result["error"] for result in results] == [None, not_found, not_found, not_found, None]
    assert (await api.get(f"{PATH}/{one}")).json()["disabled_reason"] == "manual"
    assert (await api.get(f"{PATH}/{theirs}", headers=SOMEBODY)).json()["enabled"]
    assert len(await outbox_of(shared_url, one)) == 2
    assert len(await outbox_of(shared_url, two)) == 1  # it was disabled: no new version


async def test_enabling_and_deleting(api: httpx.AsyncClient, shared_url: str) -> None:
    ids = [(await made(api, enabled=False))["id"] for _ in range(2)]
    await failed_in_a_row(shared_url, ids[0], 3)
    assert (await api.post(AT, json={"action": "enable", "ids": ids})).json()["results"][0]["ok"]
    assert [item["enabled"] for item in (await api.get(PATH)).json()["data"]] == [True, True]
    assert (await api.post(AT, json={"action": "delete", "ids": ids})).json()["results"][1]["ok"]
    assert (await api.get(PATH)).json()["data"] == []
    assert (await outbox_of(shared_url, ids[0]))[-1] is None
    assert await rows_of(shared_url, "SELECT 1 FROM subscription_health WHERE subscription_id = ANY($1)", ids) == []


async def test_two_that_name_the_same_ones_in_another_order_wait_for_each_other(api: httpx.AsyncClient) -> None:
    ids = [(await made(api))["id"] for _ in range(10)]
    bodies = [{"action": action, "ids": ids[::step]} for step in (1, -1) for action in ("disable", "enable")] * 3
    answers = await asyncio.gather(*(api.post(AT, json=body) for body in bodies))
    assert {answer.status_code for answer in answers} == {200}
    states = {item["state"] for item in (await api.get(PATH)).json()["data"]}
    assert len(states) == 1  # one transaction each


@pytest.mark.parametrize(
    ("fields", "pointers"),
    [
        ({"action": None}, ["/action"]),
        ({"action": "archive"}, ["/action"]),
        ({"action": 1}, ["/action"]),
        ({"ids": None}, ["/ids"]),
        ({"ids": UNKNOWN}, ["/ids"]),
        ({"ids": []}, ["/ids"]),
        ({"ids": [1]}, ["/ids/0"]),
        ({"ids": ["x" * 101]}, ["/ids/0"]),
        ({"ids": [UNKNOWN, UNKNOWN]}, ["/ids"]),
        ({"ids": [str(number) for number in range(101)]}, ["/ids"]),
        ({"unknown": 1}, ["/unknown"]),
    ],
)
async def test_what_does_not_hold_is_pointed_at(
    bare_api: httpx.AsyncClient, fields: dict[str, object], pointers: list[str]
) -> None:
    assert pointers_of(await bare_api.post(AT, json={"action": "enable", "ids": [UNKNOWN], **fields})) == pointers


async def test_a_hundred_are_taken(api: httpx.AsyncClient) -> None:
    ids = [new_subscription_id() for _ in range(100)]
    results = (await api.post(AT, json={"action": "delete", "ids": ids})).json()["results"]
    assert [result["error"]["status"] for result in results] == [404] * 100
