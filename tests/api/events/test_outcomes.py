"""Events that never arrived anywhere: wanted by nobody, or wanted and not taken."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from schemas.ids import new_event_id, new_replay_id, new_subscription_id
from tests.api.logged import Log, id_made_at
from tests.api.problem import problem_of

pytestmark = pytest.mark.postgres

PATH = "/api/v1/events"
SINCE = (datetime.now(UTC) - timedelta(days=2)).isoformat()
REPLAY = new_replay_id()

# What became of an event, and under which outcomes it is listed.
CASES: dict[str, tuple[list[dict[str, Any]], set[str]]] = {
    "nobody wanted it": ([], {"unwanted", "never_delivered"}),
    "it arrived": ([{}], set()),
    "it failed": ([{"state": "failed"}], {"undelivered", "never_delivered"}),
    "it waits": ([{"state": "retrying"}], {"undelivered", "never_delivered"}),
    "it was held": ([{"state": "held"}], {"undelivered", "never_delivered"}),
    "it arrived at one of two": ([{"state": "failed"}, {}], set()),
    "it failed at two": ([{"state": "failed"}, {"state": "pending"}], {"undelivered", "never_delivered"}),
    "a replay of it failed, it had arrived before": ([{"state": "failed", "round": REPLAY, "taken_in": "0"}], set()),
    "a replay of it failed as well": (
        [{"state": "failed", "round": REPLAY, "failed_in": "0"}],
        {"undelivered", "never_delivered"},
    ),
    "a replay of it arrived": ([{"round": REPLAY}], set()),
}


async def listed(api: httpx.AsyncClient, **parameters: Any) -> list[str]:
    response = await api.get(PATH, params={"since": SINCE, "limit": 100, **parameters})
    assert response.status_code == 200, response.text
    return [body["id"] for body in response.json()["data"]]


async def an_event(log: Log, deliveries: list[dict[str, Any]]) -> str:
    event_id = await log.event(new_event_id())
    for fields in deliveries:
        kept = {name: value for name, value in fields.items() if name not in {"taken_in", "failed_in"}}
        delivery_id = await log.delivery(event_id, subscription_id=new_subscription_id(), **kept)
        for name, state in (("taken_in", "success"), ("failed_in", "failed")):
            if name in fields:
                await log.attempt(delivery_id, 1, datetime.now(UTC), state=state, round=fields[name])
    return event_id


@pytest.mark.parametrize("outcome", ["unwanted", "undelivered", "never_delivered"])
async def test_each_outcome_lists_what_it_says(api: httpx.AsyncClient, log: Log, outcome: str) -> None:
    made = {name: await an_event(log, deliveries) for name, (deliveries, _) in CASES.items()}
    await log.event(new_event_id(), partition=-1)  # a test: published nowhere
    found = await listed(api, outcome=outcome)
    assert {name for name, event_id in made.items() if event_id in found} == {
        name for name, (_, outcomes) in CASES.items() if outcome in outcomes
    }
    assert len(found) == sum(outcome in outcomes for _, outcomes in CASES.values())
    assert found == sorted(found, reverse=True)


async def test_pages_and_other_filters_go_with_it(api: httpx.AsyncClient, log: Log) -> None:
    now = datetime.now(UTC)
    made = [await log.event(id_made_at("evt", now - timedelta(hours=6 * hours), hours)) for hours in range(7)]
    other = await log.event(id_made_at("evt", now - timedelta(hours=1), 9), type="user.deleted")
    assert await listed(api, outcome="unwanted", type="user.deleted") == [other]
    first = (await api.get(PATH, params={"since": SINCE, "outcome": "unwanted", "limit": 3})).json()
    rest = await listed(api, outcome="unwanted", cursor=first["next_cursor"])
    assert [each["id"] for each in first["data"]] + rest == sorted([*made, other], reverse=True)


async def test_another_organizations_deliveries_change_nothing(api: httpx.AsyncClient, log: Log) -> None:
    event_id = await log.event(new_event_id())
    theirs = Log(log.engine, type(log.organization_id)("org_another"))
    await theirs.delivery(event_id)
    assert await listed(api, outcome="unwanted") == [event_id]


@pytest.mark.parametrize(
    ("parameters", "parameter"),
    [
        ({"outcome": "unwanted"}, "outcome"),
        ({"outcome": "unwanted", "since": "2026-01-01T00:00:00Z", "until": "2026-03-01T00:00:00Z"}, "since"),
        ({"outcome": "lost", "since": SINCE}, "outcome"),
    ],
)
async def test_it_is_bounded(api: httpx.AsyncClient, parameters: dict[str, str], parameter: str) -> None:
    problem: Any = problem_of(await api.get(PATH, params=parameters), 422)
    assert [error["parameter"] for error in problem["errors"]] == [parameter]
