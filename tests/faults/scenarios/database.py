"""PostgreSQL is away for a minute under load: deliveries go on, and the log is complete soon after."""

import time
from typing import Final

from tests.faults.figures import Figure
from tests.faults.logged import logged, wait_until_logged
from tests.faults.scenario import Control, Scenario, Setting
from tests.faults.stage import Stage, staged

AWAY_S: Final = 60.0
BEFORE_S: Final = 20.0
PER_S: Final = 200
SLOWER_AT_MOST: Final = 2.0  # times, p99
LOG_WITHIN_S: Final = 60.0


def away(setting: Setting) -> list[Figure]:
    """Ours."""
    with staged(setting) as stage:
        return _without_postgresql(stage)


def away_and_no_projector_after_it(setting: Setting) -> list[Figure]:
    """The control: nobody catches up."""
    with staged(setting) as stage:
        stage.stack.hold("projector")
        return _without_postgresql(stage)


def _without_postgresql(stage: Stage) -> list[Figure]:
    away_s = max(8.0, AWAY_S * min(1.0, stage.setting.scale))
    before_s = max(8.0, BEFORE_S * min(1.0, stage.setting.scale))
    with stage.load(deliveries_per_s=PER_S) as load:
        time.sleep(before_s)
        gone_at = time.time()
        stage.stack.postgres.stop()
        time.sleep(away_s)
        back_at = time.time()
        stage.stack.postgres.start()
        stage.stack.postgres.wait_until_ready()
        ready_at = time.time()
        time.sleep(5.0)
    account = stage.settle(load.accepted)
    complete = wait_until_logged(stage, account.owed, within_s=LOG_WITHIN_S + 30)
    log_s = LOG_WITHIN_S + 30 if complete is None else time.time() - ready_at
    usual = _p99_ms(stage, load.accepted, since=load.began_at + 2, until=gone_at)
    without = _p99_ms(stage, load.accepted, since=gone_at, until=back_at)
    found = logged(stage)
    return [
        *account.figures(),
        Figure("p99 before, ms", round(usual, 1)),
        Figure("p99 while it is away, ms", round(without, 1)),
        Figure("p99 while it is away, times that before", round(without / usual, 2), SLOWER_AT_MOST),
        Figure("log complete after it is back, s", round(log_s, 1), LOG_WITHIN_S),
        Figure("rows doubled or miscounted", found.doubled + found.miscounted, 0),
    ]


def _p99_ms(stage: Stage, accepted: dict[str, float], *, since: float, until: float) -> float:
    """Return the 99th percentile from publish to arrival, of the events published between two moments."""
    latencies = sorted(
        (at - accepted[event]) * 1000
        for (event, _), at in stage.received.taken.items()
        if since <= accepted.get(event, 0.0) < until
    )
    assert latencies, "nothing was published then"
    return latencies[int(len(latencies) * 0.99)]


SCENARIOS: Final = (
    Scenario(
        "postgresql",
        "PostgreSQL stopped for 60 s at 200 deliveries/s",
        away,
        (
            Control(
                "the projector does not come back",
                away_and_no_projector_after_it,
                ("log complete after it is back, s",),
            ),
        ),
    ),
)
