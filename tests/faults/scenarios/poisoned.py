"""Records that nobody can read, among good ones: they go to the quarantine as they are, and nobody else notices."""

import time
from collections.abc import Callable
from typing import Final

from tests.faults.figures import Figure
from tests.faults.loading import Load
from tests.faults.poison import Poisoning, quarantined
from tests.faults.scenario import Control, Scenario, Setting
from tests.faults.stage import Stage, staged
from tests.faults.stock import GROUP, stock_commands

RECORDS: Final = 20_000
POISON: Final = 0.05
PER_S: Final = 200.0
WINDOW_S: Final = 4.5  # with poison, and as long without, in turn: what else the machine does hits both alike
WARM_UP_S: Final = 2.0
SLOWER_AT_MOST: Final = 1.2
PATHS: Final = tuple(f"/{number}" for number in range(4))  # one takes 16 at a time, each of them an fsync
AS_DOCUMENTED: Final = {"STOCK_CONCURRENCY": "1"}  # an agent as it is when nothing is chosen
_QUARANTINED_WITHIN_S: Final = 60.0


def poison(setting: Setting) -> list[Figure]:
    """Ours."""
    with staged(setting, paths=PATHS) as stage:
        return _poisoned(stage)


def poison_for_stock_faust(setting: Setting) -> list[Figure]:
    """The same input for stock Faust (F5): its agent ends at what it cannot decode and comes back after a while."""
    commands = stock_commands(1, setting.folder, PATHS)
    with staged(setting, paths=PATHS, commands=commands, env=AS_DOCUMENTED, probed=False) as stage:
        stage.group = GROUP
        return _poisoned(stage)


def _poisoned(stage: Stage) -> list[Figure]:
    setting = stage.setting
    worker = stage.stack.child("worker-0").process.pid
    good = setting.scaled(round(RECORDS * (1 - POISON)), at_least=1800)
    poisoning = Poisoning(stage.stack.bootstrap_servers, per_s=PER_S * POISON / (1 - POISON), seed=setting.seed)
    bad: list[tuple[float, float]] = []
    with stage.load(deliveries_per_s=PER_S, deliveries=2 * good) as load:
        time.sleep(WARM_UP_S)
        while load.is_running:
            time.sleep(WINDOW_S)
            began = time.time()
            with poisoning:
                _while_running(load, WINDOW_S)
            bad.append((began, time.time()))
    accepted = load.accepted
    account = stage.settle(accepted, quiet_s=20.0, within_s=60.0)
    found = quarantined(stage.stack.bootstrap_servers, poisoning.given)
    deadline = time.monotonic() + _QUARANTINED_WITHIN_S
    while found.missing and stage.group != GROUP and time.monotonic() < deadline:
        time.sleep(1.0)
        found = quarantined(stage.stack.bootstrap_servers, poisoning.given)
    setting.say(f"poison: {dict(poisoning.kinds())}; missing {[each.kind for each in found.missing[:10]]}")
    beside = _p99_ms(stage, accepted, lambda at: any(began <= at < ended for began, ended in bad))
    first = load.began_at + WARM_UP_S
    usual = _p99_ms(stage, accepted, lambda at: at > first and not any(began <= at < ended + 1 for began, ended in bad))
    return [
        *account.figures(),
        Figure("p99 without poison, ms", round(usual, 1)),
        Figure("p99 beside poison, ms", round(beside, 1)),
        Figure("p99 beside poison, times that without", round(beside / usual, 2), SLOWER_AT_MOST),
        Figure("poison", len(poisoning.given)),
        Figure("poison not quarantined", len(found.missing), 0),
        Figure("poison quarantined otherwise than it came", found.altered, 0),
        Figure("restarts of the worker", int(stage.stack.child("worker-0").process.pid != worker), 0),
    ]


def _while_running(load: Load, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while load.is_running and time.monotonic() < deadline:
        time.sleep(0.05)


def _p99_ms(stage: Stage, accepted: dict[str, float], is_in: Callable[[float], bool]) -> float:
    """Return the 99th percentile from publish to arrival of what was published then; now is when the rest came."""
    now = time.time()
    taken = stage.received.taken
    latencies = sorted(
        (taken.get((event, path), now) - at) * 1000 for event, at in accepted.items() if is_in(at) for path in PATHS
    )
    return latencies[int(len(latencies) * 0.99)]


SCENARIOS: Final = (
    Scenario(
        "poison",
        "5 % poison of 20,000 records of every kind and codec",
        poison,
        (
            Control(
                "stock Faust",
                poison_for_stock_faust,
                ("lost", "still waiting", "p99 beside poison, times that without"),
            ),
        ),
    ),
)
