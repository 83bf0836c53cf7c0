"""Ordered subscriptions while their receiver fails by chance and workers are killed."""

import time
from collections.abc import Iterable
from typing import Final

from tests.faults.arrivals import Arrival, longest_gap_s
from tests.faults.figures import Figure
from tests.faults.loading import Load
from tests.faults.receiver import Behaviour
from tests.faults.scenario import Control, Scenario, Setting
from tests.faults.stage import Stage, staged

EVENTS: Final = 10_000
STRICT_EVENTS: Final = 1_000
PER_S: Final = 500
STRICT_PER_S: Final = 50
KEYS: Final = tuple(f"key-{number}" for number in range(100))
KILLS: Final = 2
FAILING: Final = Behaviour(fail_share=0.1)
WAITS: Final = "200ms,500ms,1s"
ENV: Final = {"HOOKLINE_RETRY_WAITS": WAITS}
ORDERED: Final = "/ordered"
POISONED: Final = "key-7"
LONGEST_STALL_S: Final = 15.0


def per_key(setting: Setting) -> list[Figure]:
    """100 keys; what fails waits with its followers and is tried for as long as it takes."""
    return _killed(setting, "per_key", events=setting.scaled(EVENTS, at_least=500), per_s=PER_S, keys=KEYS)


def strict(setting: Setting) -> list[Figure]:
    """One key, in a subscription that is one queue."""
    events = setting.scaled(STRICT_EVENTS, at_least=100)
    return _killed(setting, "strict", events=events, per_s=STRICT_PER_S, keys=KEYS[:1])


def without_order(setting: Setting) -> list[Figure]:
    """The same as `per_key` without an ordering."""
    return _killed(setting, "none", events=setting.scaled(EVENTS, at_least=500), per_s=PER_S, keys=KEYS)


def _killed(setting: Setting, ordering: str, *, events: int, per_s: float, keys: tuple[str, ...]) -> list[Figure]:
    """Kill one worker of two, then the other, while the load goes on."""
    with staged(setting, workers=2, paths=(), env=ENV, probed=False) as stage:
        stage.subscribe(ORDERED, ordering=ordering, on_exhaustion="block")
        stage.wait_until_in_force()
        stage.received.behave(ORDERED, FAILING)
        kills = max(1, round(KILLS * min(1.0, setting.scale * 10)))
        with stage.load(deliveries=events, deliveries_per_s=per_s, keys=keys) as load:
            for number in range(kills):
                time.sleep(events / per_s / (kills + 1))
                stage.stack.wait_until_ready(f"worker-{number % 2}")
                stage.kill(f"worker-{number % 2}")
            load.join()
        account = stage.settle(load.accepted, within_s=600.0)
        return [*account.figures(), *_order_figures(stage, load, has_sequence=ordering != "none")]


def _order_figures(stage: Stage, load: Load, *, has_sequence: bool) -> list[Figure]:
    arrivals = [each for each in stage.received.arrivals if each.event_id in load.given]
    times = [each.at for each in arrivals]
    took_s = max(times) - load.began_at
    stall_s = longest_gap_s(times, since=load.began_at, until=max(times))
    figures = [
        Figure("inversions", len(inversions(arrivals, load)), 0),
        Figure("deliveries/s over all of the run", round(len(load.accepted) / took_s)),
        Figure("longest stall, s", round(stall_s, 1), LONGEST_STALL_S),
    ]
    if has_sequence:
        figures.append(Figure("sequences that do not rise", falls(arrivals, load), 0))
    return figures


def firsts(arrivals: Iterable[Arrival]) -> list[Arrival]:
    """Return the arrival at which each event was taken first, in the order in which the receiver wrote them down."""
    found: dict[str, Arrival] = {}
    for arrival in arrivals:
        if arrival.is_taken:
            found.setdefault(arrival.event_id, arrival)
    return list(found.values())


def inversions(arrivals: Iterable[Arrival], load: Load) -> list[str]:
    """Return the events that were first taken after a later one of their key."""
    highest: dict[str, int] = {}
    late = []
    for arrival in firsts(arrivals):
        key, number = load.given[arrival.event_id]
        if number < highest.get(key, 0):
            late.append(arrival.event_id)
        highest[key] = max(highest.get(key, 0), number)
    return late


def falls(arrivals: Iterable[Arrival], load: Load) -> int:
    """Return how many first takings had no sequence, or one that is not above the last one of their key."""
    last: dict[str, int] = {}
    count = 0
    for arrival in firsts(arrivals):
        key, _ = load.given[arrival.event_id]
        sequence = -1 if arrival.sequence is None else arrival.sequence
        count += sequence <= last.get(key, -1)
        last[key] = sequence
    return count


def parked(setting: Setting) -> list[Figure]:
    """One key of 100 fails for all of the load: it and its followers wait, and the other keys notice nothing.

    Afterwards the receiver takes it; all of it comes, in order.
    """
    events = setting.scaled(4_000, at_least=400)
    with staged(setting, paths=(), env={"HOOKLINE_RETRY_WAITS": "200ms,500ms"}, probed=False) as stage:
        stage.subscribe(ORDERED, ordering="per_key", on_exhaustion="block")
        stage.wait_until_in_force()
        with stage.load(deliveries=events, deliveries_per_s=200, keys=KEYS) as before:
            before.join()
        stage.settle(before.accepted)
        stage.received.behave(ORDERED, Behaviour(fail_text=f' {POISONED}"'))
        with stage.load(deliveries=events, deliveries_per_s=200, keys=KEYS) as load:
            load.join()
        stage.settle([event for event in load.accepted if load.given[event][0] != POISONED], quiet_s=5.0)
        early = sum((event, ORDERED) in stage.received.taken for event in _of(load, POISONED))
        stage.received.behave(ORDERED)
        account = stage.settle(load.accepted)
        healthy, usual = _p99_ms(stage, load), _p99_ms(stage, before)
        return [
            *account.figures(),
            *_order_figures(stage, load, has_sequence=True)[:1],
            Figure("of the failing key taken early", early, 0),
            Figure("p99 of the other keys, ms", healthy, round(usual * 1.2 + 5, 1)),
            Figure("p99 of them without a failing one, ms", usual),
        ]


def exhausted(setting: Setting) -> list[Figure]:
    """The first of two of a key fails until its attempts are used up: `dead_letter` goes on, `block` waits."""
    with staged(setting, paths=(), env={"HOOKLINE_RETRY_WAITS": "200ms,200ms"}, probed=False) as stage:
        stage.subscribe("/goes-on", ordering="per_key", on_exhaustion="dead_letter")
        stage.subscribe("/waits", ordering="per_key", on_exhaustion="block")
        stage.wait_until_in_force()
        for path in stage.subscriptions:
            stage.received.behave(path, Behaviour(fail_text='"id":"1"'))
        with stage.load(deliveries=4, deliveries_per_s=40, keys=KEYS[:1]) as load:
            load.join()
        first, second = sorted(load.given, key=lambda event: load.given[event][1])
        stage.settle([second], quiet_s=3.0)
        taken = set(stage.received.taken)
        tries = sum(each.pair == (first, "/goes-on") for each in stage.received.arrivals)
        blocked = sum(each.pair == (first, "/waits") for each in stage.received.arrivals)
        stage.received.behave("/waits")
        account = stage.settle([first, second], quiet_s=5.0)
        return [
            Figure("lost", len(account.lost), 0),
            Figure("dead_letter: dead letters missing", (first, "/goes-on") not in account.dead, 0),
            Figure("dead_letter: follower missing", (second, "/goes-on") not in taken, 0),
            Figure("dead_letter: attempts other than 3", abs(tries - 3), 0),
            Figure("block: follower sent early", (second, "/waits") in taken, 0),
            Figure("block: attempts of the first missing", max(0, 4 - blocked), 0),
            Figure("block: missing once it is taken", len(stage.pairs([first, second], ["/waits"]) - account.taken), 0),
        ]


def _of(load: Load, key: str) -> list[str]:
    return [event for event in load.accepted if load.given[event][0] == key]


def _p99_ms(stage: Stage, load: Load) -> float:
    """Return the 99th percentile from publish to the first taking, of all keys but the failing one."""
    taken = stage.received.taken
    waits = sorted(
        taken[event, ORDERED] - at
        for event, at in load.accepted.items()
        if load.given[event][0] != POISONED and (event, ORDERED) in taken
    )
    return round(waits[int(len(waits) * 0.99)] * 1000, 1)


SCENARIOS: Final = (
    Scenario(
        "order",
        "ordering per_key: 10,000 events over 100 keys, 10 % fail, 2 workers, two kill -9",
        per_key,
        (Control("ordering none", without_order, ("inversions",)),),
    ),
    Scenario("order-strict", "ordering strict: 1,000 events, 10 % fail, 2 workers, two kill -9", strict),
    Scenario("order-parked", "ordering per_key: one key of 100 fails all the time", parked),
    Scenario("order-exhausted", "ordered, attempts used up: dead_letter beside block", exhausted),
)
