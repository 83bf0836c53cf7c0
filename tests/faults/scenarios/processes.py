"""API, relay, projector, mover and replayer are killed in turn under load."""

import itertools
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import httpx

from producers import Publisher
from schemas.waits import parse_schedule
from tests.faults.figures import Figure
from tests.faults.logged import logged, wait_until_logged
from tests.faults.receiver import Behaviour
from tests.faults.scenario import Control, Scenario, Setting
from tests.faults.scenarios.brokers import posting
from tests.faults.stage import WAITS, Stage, staged
from tests.faults.without import command_without

KILLS: Final = 40
KILL_EVERY_S: Final = 3.0
NAMES: Final = ("api", "relay", "projector", "mover")  # the replayer lives in the projector
PER_S: Final = 150
POSTED_EVENTS_PER_S: Final = 20
FAILS: Final = ("/fails-once", "/fails-twice")
FAILING: Final = 0.2  # of the webhooks to each: more would have a breaker open, which is another story
REPLAYED: Final = "/0"
MADE_TYPE: Final = "role.deleted"  # what the subscriptions made meanwhile want
_WITHIN_S: Final = 120.0


def kills(setting: Setting) -> list[Figure]:
    """Ours."""
    return _killed(setting, {})


def kills_without_reports(setting: Setting) -> list[Figure]:
    """A control: the API answers before Kafka has the event."""
    return _killed(setting, {"api": command_without("reports", "api")})


def kills_without_waiting(setting: Setting) -> list[Figure]:
    """A control: the mover waits for nothing."""
    return _killed(setting, {"mover": command_without("waiting", "mover")})


def kills_without_positions(setting: Setting) -> list[Figure]:
    """A control: the projector notes how far it read."""
    return _killed(setting, {"projector": command_without("positions", "projector")})


def _killed(setting: Setting, commands: Mapping[str, Sequence[str | Path]]) -> list[Figure]:
    paths = (*(f"/{number}" for number in range(4)), *FAILS)
    with staged(setting, paths=paths, commands=commands) as stage:
        for times, path in enumerate(FAILS, start=1):
            stage.received.behave(path, Behaviour(fail_first=times, of=FAILING))
        chosen = _delivered_before(stage)
        with stage.load(deliveries_per_s=PER_S) as load, posting(stage, events_per_s=POSTED_EVENTS_PER_S) as posted:
            replay, made = _begin_replay(stage), list[str]()
            for number in range(setting.scaled(KILLS, at_least=4)):
                time.sleep(KILL_EVERY_S)
                stage.kill(NAMES[number % len(NAMES)])
                made.append(_subscribed(stage, f"/made-{number}"))
        account = stage.settle({**load.accepted, **posted.accepted})
        setting.say(f"posted: {dict(posted.answers)}")
        for name in NAMES:
            stage.stack.wait_until_ready(name)
        ended = _replay_ended(stage, replay)
        wait_until_logged(stage, account.owed, within_s=_WITHIN_S)
        found = logged(stage)
        replayed = {pair: count for (of, pair), count in stage.received.taken_by_replay.items() if of == replay}
        again = sum(replayed.values()) - len(replayed)
        return [
            *account.figures(),
            Figure("subscriptions accepted and not in force", _not_in_force(stage, made), 0),
            Figure("brought ids that became two events", len(posted.unlike), 0),
            Figure("rows missing", found.missing(account.owed), 0),
            Figure("rows doubled or miscounted", found.doubled + found.miscounted, 0),
            Figure("attempts before they were due", found.early, 0),
            Figure("earliest retry, s too early", round(_earliest_s(stage), 3), 0),
            Figure("replay: deliveries missing", len(chosen - replayed.keys()), 0),
            Figure("replay: not said to have succeeded", ended["total"] - ended["succeeded"], 0),
            Figure("replay: sent twice, %", round(100 * again / max(1, len(replayed)), 2)),
        ]


def _delivered_before(stage: Stage) -> frozenset[tuple[str, str]]:
    """Return what was delivered to the path that is to be replayed, and is in the log."""
    with stage.load(deliveries_per_s=PER_S, deliveries=PER_S * 6) as load:
        load.join()
    stage.settle(load.accepted)
    pairs = frozenset(pair for pair in stage.received.taken if pair[1] == REPLAYED)
    wait_until_logged(stage, pairs, within_s=_WITHIN_S)
    return pairs


def _subscribed(stage: Stage, path: str) -> str:
    """Subscribe a path with a key, again and again while the API or the relay are away; return the path."""
    body = {"url": f"{stage.received.url}{path}", "event_types": [MADE_TYPE]}
    key = {"Idempotency-Key": f"{stage.organization}{path}"}
    deadline = time.monotonic() + _WITHIN_S
    while time.monotonic() < deadline:
        with suppress(httpx.TransportError), stage.api() as api:
            if api.post("/api/v1/subscriptions", json=body, headers=key).status_code == 201:
                return path
        time.sleep(0.2)
    raise AssertionError(f"{path} was not accepted within {_WITHIN_S:.0f} s")


def _not_in_force(stage: Stage, paths: Sequence[str]) -> int:
    """Return how many subscriptions an event does not reach."""
    with Publisher(stage.stack.bootstrap_servers) as publisher:
        event = publisher.publish(type=MADE_TYPE, organization_id=stage.organization, data={"id": "r1"}).result(10)
    wanted = {(event, path) for path in paths}
    deadline = time.monotonic() + 30.0
    while time.monotonic() < deadline and not wanted <= stage.received.taken.keys():
        stage.received.read()
        time.sleep(0.1)
    return len(wanted - stage.received.taken.keys())


def _begin_replay(stage: Stage) -> str:
    with stage.api() as api:
        asked = {"subscription_id": stage.subscriptions[REPLAYED], "rate_per_s": 20}
        answer = api.post("/api/v1/replays", json=asked)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])


def _replay_ended(stage: Stage, replay: str) -> dict[str, Any]:
    """Return the replay once it is completed, or as it is when its time is over."""
    deadline = time.monotonic() + _WITHIN_S
    with stage.api() as api:
        while True:
            found: dict[str, Any] = api.get(f"/api/v1/replays/{replay}").json()
            if found["state"] == "completed" or time.monotonic() > deadline:
                return found
            time.sleep(0.5)


def _earliest_s(stage: Stage) -> float:
    """Return by how much the earliest retry came before its wait was over, 0.0 when none did.

    From the receiver's own clock, between the arrivals of webhooks that came exactly as often as they had to.
    """
    waits = [wait.total_seconds() for wait in parse_schedule(WAITS).waits]
    times: dict[tuple[str, str], list[float]] = {}
    for arrival in stage.received.arrivals:
        if arrival.path in FAILS and not arrival.replay:
            times.setdefault(arrival.pair, []).append(arrival.at)
    earliest = 0.0
    for (_, path), came in times.items():
        if len(came) == FAILS.index(path) + 2:
            gaps = (later - earlier for earlier, later in itertools.pairwise(came))
            earliest = max(earliest, *(wait - gap for wait, gap in zip(waits, gaps, strict=False)))
    return earliest


SCENARIOS: Final = (
    Scenario(
        "processes",
        "kill -9 of API, relay, projector, mover and replayer under load",
        kills,
        (
            Control("an API that does not wait for Kafka's report", kills_without_reports),
            Control("a mover that does not wait", kills_without_waiting, ("earliest retry, s too early",)),
            Control("a projector that notes what it read as written", kills_without_positions, ("rows missing",)),
        ),
    ),
)
