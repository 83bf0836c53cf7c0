"""Pausing and resuming: twice is once, workers learn it, and a state of its own."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest
from structlog.testing import capture_logs

from tests.api.problem import pointers_of
from tests.api.subscriptions.making import MINIMAL, PATH, UNKNOWN, failed_in_a_row, made, outbox_of

pytestmark = pytest.mark.postgres


async def test_pausing_and_resuming_are_a_version_each_and_twice_is_once(
    api: httpx.AsyncClient, shared_url: str
) -> None:
    at = f"{PATH}/{(await made(api))['id']}"
    paused_at = set()
    for action, state, version in (("pause", "paused", 2), ("resume", "enabled", 3)):
        for _ in range(2):
            response = await api.post(f"{at}/{action}")
            assert response.status_code == 200, response.text
            body = response.json()
            assert (body["state"], body["enabled"], body["version"]) == (state, True, version)
            assert response.headers["etag"] == f'"{version}"'
            paused_at.add(body["paused_at"])
    assert len(paused_at) == 2  # the second pause kept the first's
    [moment] = paused_at - {None}
    assert abs(datetime.now(UTC) - datetime.fromisoformat(moment)) < timedelta(minutes=1)
    records = await outbox_of(shared_url, at.rpartition("/")[2])
    assert [record and record.paused for record in records] == [False, True, False]


async def test_a_rate_to_resume_at_stays_and_none_leaves_it(api: httpx.AsyncClient, shared_url: str) -> None:
    body = await made(api, catch_up_rate_per_s=3)
    at = f"{PATH}/{body['id']}"
    for given, rate, version in (
        (None, 3, 3),
        ({}, 3, 3),  # not paused any more: nothing is changed
        ({"rate_per_s": None}, 3, 3),
        ({"rate_per_s": 40}, 40, 4),
        ({"rate_per_s": 40.0}, 40, 4),
    ):
        if version == 3 and given is None:
            await api.post(f"{at}/pause")
        resumed = await api.post(f"{at}/resume", json=given) if given is not None else await api.post(f"{at}/resume")
        assert resumed.status_code == 200, resumed.text
        assert (resumed.json()["catch_up_rate_per_s"], resumed.json()["version"]) == (rate, version)
    last = (await outbox_of(shared_url, body["id"]))[-1]
    assert last is not None
    assert (last.paused, last.catch_up_per_s) == (False, 40)


@pytest.mark.parametrize("rate", [0, -1, 10_001, "5", True])
async def test_a_rate_that_is_none_is_pointed_at(bare_api: httpx.AsyncClient, rate: object) -> None:
    response = await bare_api.post(f"{PATH}/{UNKNOWN}/resume", json={"rate_per_s": rate})
    assert pointers_of(response) == ["/rate_per_s"]


@pytest.mark.parametrize(
    ("enabled", "attempts", "state"),
    [(True, 0, "paused"), (True, 300, "paused"), (False, 300, "disabled")],  # disabled, paused, failing: in this order
)
async def test_paused_is_a_state_between_disabled_and_failing(
    api: httpx.AsyncClient, shared_url: str, *, enabled: bool, attempts: int, state: str
) -> None:
    body = await made(api, enabled=enabled)
    await failed_in_a_row(shared_url, body["id"], attempts)
    paused = (await api.post(f"{PATH}/{body['id']}/pause")).json()
    assert (paused["state"], paused["paused_at"] is None) == (state, False)
    for asked in ("enabled", "disabled", "failing", "paused"):
        listed = (await api.get(PATH, params={"state": asked})).json()["data"]
        assert [item["state"] for item in listed] == ([state] if asked == state else [])


async def test_what_is_paused_stays_so_whatever_else_is_changed(api: httpx.AsyncClient) -> None:
    at = f"{PATH}/{(await made(api))['id']}"
    since = (await api.post(f"{at}/pause")).json()["paused_at"]
    for answer in (
        await api.patch(at, json={"description": "x"}),
        await api.put(at, json=MINIMAL),
        await api.post(f"{at}/disable"),
        await api.post(f"{at}/enable"),
    ):
        assert answer.json()["paused_at"] == since
    assert (await api.get(at)).json()["state"] == "paused"


async def test_many_are_paused_and_resumed_and_only_those_sent_to_are_active(api: httpx.AsyncClient) -> None:
    ids = [(await made(api, catch_up_rate_per_s=7))["id"] for _ in range(2)]
    await made(api, enabled=False)
    for action, state, active in (("pause", "paused", 0), ("resume", "enabled", 2)):
        results = (await api.post(f"{PATH}/bulk", json={"action": action, "ids": ids})).json()["results"]
        assert [result["ok"] for result in results] == [True, True]
        assert [item["state"] for item in (await api.get(PATH)).json()["data"]] == [state, state, "disabled"]
        stats = (await api.get("/api/v1/stats")).json()
        assert (stats["subscriptions"], stats["active"]) == (3, active)
    assert {item["catch_up_rate_per_s"] for item in (await api.get(PATH)).json()["data"][:2]} == {7}


async def test_who_was_paused_and_resumed_is_in_the_log(api: httpx.AsyncClient) -> None:
    body = await made(api)
    with capture_logs() as lines:
        for action in ("pause", "pause", "resume"):
            await api.post(f"{PATH}/{body['id']}/{action}")
    told = [line for line in lines if line["event"].startswith("subscription.")]
    assert [(line["event"], line["subscription_id"], line["version"]) for line in told] == [
        ("subscription.paused", body["id"], 2),
        ("subscription.resumed", body["id"], 3),
    ]
