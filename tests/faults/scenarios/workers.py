"""Workers are killed, stopped, added, taken away and paused under load."""

import os
import signal
import time
from collections.abc import Callable
from typing import Final

from tests.faults.account import Account
from tests.faults.arrivals import longest_gap_s
from tests.faults.figures import Figure
from tests.faults.loading import Load
from tests.faults.receiver import Behaviour
from tests.faults.scenario import Control, Scenario, Setting
from tests.faults.stage import Stage, staged
from tests.faults.stock import GROUP, stock_commands

DELIVERIES: Final = 50_000
PER_S: Final = 1000
SHORTEST_LOAD_S: Final = 20.0  # a smaller run is a slower one: there must be kills
KILL_EVERY_S: Final = 3.0
MOST_TWICE: Final = 0.02
STOPS: Final = 30
STOP_WITHIN_S: Final = 35.0
CHANGES: Final = 10
CHANGE_EVERY_S: Final = 6.0
PAUSED_S: Final = 12.0  # the session is over after 6
LONGEST_STALL_S: Final = 15.0
SLOW: Final = "/9"
SLOWLY: Final = Behaviour(hang_s=0.5, hang_share=0.02)  # a kill always finds something in flight before what is done
# It outlasts a commit interval of 2.8 s, Faust's default, so that each kill finds something that was committed past.
SLOWLY_FOR_STOCK: Final = Behaviour(hang_s=5.0, hang_share=0.2)
STOCK_QUIET_S: Final = 240.0  # a member that was killed keeps its partitions for 60 s on Faust's defaults, each of them
HANGS: Final = "/hangs"
HANGS_TIMEOUT_S: Final = 5


def kills(setting: Setting) -> list[Figure]:
    """Three workers, one killed every 3 s in rotation; one endpoint of ten is slow at times."""
    with staged(setting, workers=3) as stage:
        return _killed(stage).figures(most_twice=MOST_TWICE)


def kills_with_one_hanging(setting: Setting) -> list[Figure]:
    """The same beside an endpoint that hangs for all of the load; afterwards it is mended."""
    with staged(setting, workers=3) as stage:
        stage.subscribe(HANGS, timeout_s=HANGS_TIMEOUT_S)
        stage.wait_until_in_force()
        stage.received.behave(HANGS, Behaviour(hang_s=3600.0))
        return _killed(stage, lambda: stage.received.behave(HANGS)).figures(most_twice=MOST_TWICE)


def kills_of_stock_faust(setting: Setting) -> list[Figure]:
    """The same kills of a worker on Faust's defaults, from its first record on: it commits past what is in flight (F1).

    It knows its paths from its command line; nothing has to be in force first.
    """
    with staged(setting, workers=3, commands=stock_commands(3, setting.folder), probed=False) as stage:
        stage.group = GROUP
        return _killed(stage, quiet_s=STOCK_QUIET_S, slowly=SLOWLY_FOR_STOCK).figures(most_twice=MOST_TWICE)


def _killed(
    stage: Stage, mend: Callable[[], None] = lambda: None, *, quiet_s: float = 30.0, slowly: Behaviour = SLOWLY
) -> Account:
    stage.received.behave(SLOW, slowly)
    deliveries = stage.setting.scaled(DELIVERIES, at_least=1000)
    count = 0
    per_s = min(PER_S, deliveries / SHORTEST_LOAD_S)
    with stage.load(deliveries=deliveries, deliveries_per_s=per_s) as load:
        while _still(load, KILL_EVERY_S):
            count += stage.kill(f"worker-{count % 3}")
        load.join()
    mend()
    account = stage.settle(load.accepted, quiet_s=quiet_s, within_s=600.0)
    stage.setting.say(f"{count} kills, {len(account.owed)} owed, {account.sent_twice} twice")
    return account


def _still(load: Load, seconds: float) -> bool:
    """Wait, or until the load ends; return whether it goes on."""
    deadline = time.monotonic() + seconds
    while load.is_running and time.monotonic() < deadline:
        time.sleep(0.05)
    return load.is_running


def stops(setting: Setting) -> list[Figure]:
    """Two workers take turns in being told to stop, under load; what is open may end first."""
    count = setting.scaled(STOPS, at_least=4)
    took: list[float] = []
    codes: list[int] = []
    with staged(setting, workers=2) as stage:
        with stage.load(deliveries_per_s=PER_S / 4) as load:
            for number in range(count):
                name = f"worker-{number % 2}"
                stage.stack.wait_until_ready(name)
                time.sleep(1.0)  # of load, with all workers
                began = time.monotonic()
                codes.append(stage.stack.child(name).stop(within_s=STOP_WITHIN_S + 5))
                took.append(time.monotonic() - began)
        account = stage.settle(load.accepted)
    return [
        *account.figures(),
        Figure("sent twice a stop", round(account.sent_twice / count, 2), 1),
        Figure("longest stop, s", round(max(took), 1), STOP_WITHIN_S),
        Figure("exit codes other than 0", sum(code != 0 for code in codes), 0),
    ]


def churn(setting: Setting) -> list[Figure]:
    """Workers come and go: ten times in a minute, of four at most."""
    changes = setting.scaled(CHANGES, at_least=3)
    with staged(setting, workers=4, idle=("worker-2", "worker-3")) as stage:
        with stage.load(deliveries_per_s=PER_S / 5) as load:
            for number in range(changes):
                began = time.monotonic()
                name = f"worker-{2 + number % 2}"
                if number % 4 < 2:
                    stage.stack.release(name)
                else:
                    stage.stack.hold(name)
                time.sleep(max(0.0, CHANGE_EVERY_S - (time.monotonic() - began)))
        account = stage.settle(load.accepted)
        return [*account.figures(), _stall(stage, load)]


def pause(setting: Setting) -> list[Figure]:
    """A worker is stopped by SIGSTOP for longer than its session and goes on as if nothing had been."""
    with staged(setting, workers=2) as stage:
        with stage.load(deliveries_per_s=PER_S / 5) as load:
            for number in range(setting.scaled(3)):
                child = stage.stack.child(f"worker-{number % 2}")
                time.sleep(3.0)
                os.kill(child.pid, signal.SIGSTOP)
                time.sleep(PAUSED_S)
                os.kill(child.pid, signal.SIGCONT)
                time.sleep(PAUSED_S)
        account = stage.settle(load.accepted)
        return [*account.figures(), _stall(stage, load)]


def _stall(stage: Stage, load: Load) -> Figure:
    """Return the longest time in which nothing came to some path while the load went on."""
    longest = max(
        longest_gap_s(
            [arrival.at for arrival in stage.received.arrivals if arrival.path == path],
            since=load.began_at,
            until=load.ended_at,
        )
        for path in stage.subscriptions
    )
    return Figure("longest stall of a path, s", round(longest, 1), LONGEST_STALL_S)


SCENARIOS: Final = (
    Scenario(
        "kills",
        "kill -9 of one of 3 workers in rotation every 3 s, 50,000 deliveries",
        kills,
        (Control("stock Faust", kills_of_stock_faust, ("lost", "sent twice, %")),),
    ),
    Scenario(
        "kills-hanging",
        "the same with one endpoint hanging",
        kills_with_one_hanging,
        (Control("stock Faust, nobody hanging", kills_of_stock_faust, ("lost", "sent twice, %")),),
    ),
    Scenario("stops", "SIGTERM × 30 under load", stops),
    Scenario("churn", "10 joins and leaves in 60 s", churn),
    Scenario("pause", "SIGSTOP past the session, then SIGCONT", pause),
)
