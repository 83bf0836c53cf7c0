"""Every waiting tier, waits shortened, one partition busy, the mover and the worker killed while records wait."""

import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Final

from producers import Publisher
from schemas.codec import decode
from schemas.records import Attempt, AttemptState
from schemas.topics import ATTEMPTS
from schemas.waits import parse_schedule
from tests.faults.figures import Figure
from tests.faults.receiver import Behaviour
from tests.faults.remaining import Topics
from tests.faults.scenario import Control, Scenario, Setting
from tests.faults.stage import Stage, staged
from tests.faults.without import command_without

WAITS: Final = "500ms,1s,2s,5s,10s,20s"
SCHEDULE: Final = parse_schedule(WAITS)
DELIVERIES: Final = 4000  # 24,000 records through the tiers
PER_S: Final = 30
BUSY: Final = 0.9  # of the deliveries are one subscription's, and so one partition's
PATHS: Final = tuple(f"/{number}" for number in range(8))
KILL_EVERY_S: Final = 12.0
NAMES: Final = ("mover", "worker-0", "mover")
LATE_AT_MOST_S: Final = 1.0
LATE_AT_MOST: Final = 0.05  # of the wait, if that is more
RESTART_AT_MOST_S: Final = 15.0
MOST_TWICE: Final = 0.02
_SETTINGS: Final = {
    "HOOKLINE_RETRY_WAITS": WAITS,
    "HOOKLINE_BREAKER_LEAST_ATTEMPTS": "1000000",  # an open breaker waits on purpose: here all is to be tried in time
}
_WITHIN_S: Final = 180.0


@dataclass
class Away:
    """When processes were killed, and when the worker's or the mover's work was seen to go on."""

    times: list[tuple[str, float, float]] = field(default_factory=list)

    def within(self, begin: float, end: float) -> float:
        """Return for how many of the seconds from `begin` to `end` something was away."""
        spans = sorted((max(begin, began), min(end, ended)) for _, began, ended in self.times)
        total, reached = 0.0, begin
        for began, ended in spans:
            total += max(0.0, ended - max(began, reached))
            reached = max(reached, ended)
        return total


def tiers(setting: Setting) -> list[Figure]:
    """Ours."""
    return _waited(setting, {}, NAMES)


def tiers_undisturbed(setting: Setting) -> list[Figure]:
    """The same without kills: how late the machine makes them."""
    return _waited(setting, {}, ())


def tiers_without_waiting(setting: Setting) -> list[Figure]:
    """The control: a mover that waits for nothing."""
    return _waited(setting, {"mover": command_without("waiting", "mover")}, NAMES)


def _waited(setting: Setting, commands: Mapping[str, Sequence[str | Path]], names: Sequence[str]) -> list[Figure]:
    with staged(setting, paths=PATHS, env=_SETTINGS, commands=commands) as stage:
        stage.stack.hold("projector")  # it would disable what always fails
        for path in PATHS:
            stage.received.behave(path, Behaviour(status=500))
        published, away = _published(stage, names)
        attempts = _attempts(stage, published)
        stage.received.read()
        requests = Counter(each.pair for each in stage.received.arrivals if each.event_id in published)
        return _figures(stage, published, attempts, requests, away)


def _published(stage: Stage, names: Sequence[str]) -> tuple[dict[str, str], Away]:
    """Publish while processes are killed; return the events and, of each, its path.

    Which path takes an event is a matter of its organization: each path has one of its own.
    """
    organizations = {path: f"{stage.organization}x{number}" for number, path in enumerate(PATHS)}
    with stage.api() as api:
        for path, organization in organizations.items():
            body = {"url": f"{stage.received.url}{path}", "event_types": ["user.*"]}
            answer = api.post("/api/v1/subscriptions", json=body, headers={"Hookline-Organization": organization})
            assert answer.status_code == 201, answer.text
    stage.wait_until_followed()
    deliveries = stage.setting.scaled(DELIVERIES, at_least=300)
    published: dict[str, str] = {}
    away, killed = Away(), 0
    with Publisher(stage.stack.bootstrap_servers, source="/faults") as publisher:
        began = killed_at = time.monotonic()
        every_s = min(KILL_EVERY_S, deliveries / PER_S / (len(names) + 1)) if names else 1e9
        for number in range(deliveries):
            path = PATHS[0] if number % 10 else PATHS[1 + number // 10 % (len(PATHS) - 1)]
            receipt = publisher.publish(
                type="user.created", organization_id=organizations[path], data={"id": str(number)}
            )
            published[receipt.event_id] = path
            if time.monotonic() - killed_at > every_s:
                name, killed_at = names[killed % len(names)], time.monotonic()
                if stage.kill(name):
                    away.times.append((name, time.time(), 0.0))
                    killed += 1
            time.sleep(max(0.0, began + number / PER_S - time.monotonic()))
        publisher.flush(15)
    return published, away


def _attempts(stage: Stage, published: Mapping[str, str]) -> list[Attempt]:
    """Return all outcomes, once each delivery is given up or the time is over."""
    deadline = time.monotonic() + _WITHIN_S + sum(wait.total_seconds() for wait in SCHEDULE.waits)
    while True:
        found = [decode(Attempt, message.value()) for message in Topics(stage.stack.bootstrap_servers).read(ATTEMPTS)]
        found = [attempt for attempt in found if attempt.event_id in published]
        ended = {attempt.delivery_id for attempt in found if attempt.state is AttemptState.FAILED}
        if len(ended) == len(published) or time.monotonic() > deadline:
            return found
        time.sleep(2.0)


def _figures(
    stage: Stage,
    published: Mapping[str, str],
    attempts: list[Attempt],
    requests: Counter[tuple[str, str]],
    away: Away,
) -> list[Figure]:
    numbers: defaultdict[str, set[int]] = defaultdict(set)
    for attempt in attempts:
        numbers[attempt.event_id].add(attempt.attempt)
    exact = set(range(1, SCHEDULE.attempts + 1))
    wrong = sum(numbers[event] != exact for event in published)
    _see_who_went_on(away, attempts)
    waits = [attempt for attempt in attempts if attempt.attempt > 1]
    early = [(attempt.due_at - attempt.started_at).total_seconds() for attempt in waits]
    ends = _ended(attempts)
    too_soon = [
        (SCHEDULE.waits[attempt.attempt - 2] - (attempt.due_at - ends[key])).total_seconds()
        for attempt in waits
        if (key := (attempt.event_id, attempt.attempt - 1)) in ends
        and requests[attempt.event_id, published[attempt.event_id]] == SCHEDULE.attempts
    ]
    late, own = list[float](), list[float]()
    for attempt in waits:
        due, began = attempt.due_at.timestamp(), attempt.started_at.timestamp()
        allowed = max(LATE_AT_MOST_S, LATE_AT_MOST * SCHEDULE.waits[attempt.attempt - 2].total_seconds())
        late.append(began - due - allowed + LATE_AT_MOST_S)
        own.append(late[-1] - away.within(due, began))
    sent = sum(requests.values())
    twice = sent - len(published) * SCHEDULE.attempts
    spans = [ended - began for _, began, ended in away.times]
    stage.setting.say(f"{len(waits)} waits; away: " + ", ".join(f"{n} {e - b:.1f} s" for n, b, e in away.times))
    return [
        Figure("deliveries", len(published)),
        Figure("deliveries with another number of attempts", wrong, 0),
        Figure("earliest attempt, s before it was due", round(max(0.0, *early), 3), 0),
        Figure("shortest wait, s too short", round(max(0.0, *too_soon), 3), 0),
        Figure("late p50, s", round(_at(late, 0.5), 2)),
        Figure("late p99, s", round(_at(late, 0.99), 2)),
        Figure("late p99 less the time that a process was away, s", round(_at(own, 0.99), 2), LATE_AT_MOST_S),
        Figure("longest from a kill to its work going on, s", round(max(spans, default=0.0), 1), RESTART_AT_MOST_S),
        Figure("sent twice, %", round(100 * max(0, twice) / max(1, sent), 2), 100 * MOST_TWICE),
    ]


def _ended(attempts: list[Attempt]) -> dict[tuple[str, int], datetime]:
    """Return when each attempt ended, the first of those that were made twice."""
    ends: dict[tuple[str, int], datetime] = {}
    for attempt in attempts:
        key = (attempt.event_id, attempt.attempt)
        ended = attempt.started_at + timedelta(milliseconds=max(0, attempt.duration_ms - 1))  # it is rounded up
        ends[key] = min(ends.get(key, ended), ended)
    return ends


def _see_who_went_on(away: Away, attempts: list[Attempt]) -> None:
    """Say until when a killed process's work stood still: until the first attempt, of the mover's the first retry."""
    for number, (name, began, _) in enumerate(away.times):
        later = sorted(
            attempt.started_at.timestamp()
            for attempt in attempts
            if attempt.started_at.timestamp() > began
            and (name != "mover" or attempt.attempt > 1)
            # What the mover had moved, and the worker under way, before the kill:
            and attempt.started_at.timestamp() > began + 0.3
        )
        first = _after_the_gap(began, later)
        away.times[number] = (name, began, first)


def _after_the_gap(began: float, later: list[float]) -> float:
    """Return the end of the longest silence that begins within 2 s of a kill."""
    moments = [began, *[at for at in later if at < began + 40]]
    gaps = [(second - first, second) for first, second in pairwise(moments) if first < began + 2]
    return max(gaps, default=(0.0, began))[1]


def _at(values: list[float], share: float) -> float:
    return sorted(values)[min(int(len(values) * share), len(values) - 1)] if values else 0.0


SCENARIOS: Final = (
    Scenario(
        "tiers",
        "every waiting tier, a busy partition, mover and worker killed while records wait",
        tiers,
        (
            Control(
                "a mover that does not wait",
                tiers_without_waiting,
                ("earliest attempt, s before it was due", "shortest wait, s too short"),
            ),
        ),
    ),
    Scenario("tiers-undisturbed", "the same without kills: what of the lateness is the machine's", tiers_undisturbed),
)
