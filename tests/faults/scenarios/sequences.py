"""Random sequences of all faults: over a model of one partition and its worker, and on the real stack."""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from producers import Publisher
from tests.faults import machine
from tests.faults.account import Account
from tests.faults.arrivals import Pair
from tests.faults.figures import Figure
from tests.faults.receiver import Behaviour
from tests.faults.scenario import Control, Scenario, Setting
from tests.faults.stage import Stage, staged
from tests.faults.without import command_without

MODELLED: Final = 500
PLAYED: Final = 20
STEPS: Final = 12
PATHS: Final = tuple(f"/{number}" for number in range(6))
TIMEOUT_S: Final = 3
_SETTINGS: Final = {"HOOKLINE_RETRY_WAITS": "1s,2s,3s,5s,5s,5s", "HOOKLINE_BREAKER_PROBE_EVERY_S": "1"}
_SETTLED_WITHIN_S: Final = 120.0
_QUIET_S: Final = 6.0
_LOST_AFTER_S: Final = 30.0


def modelled(setting: Setting) -> list[Figure]:
    """Ours: the real dispatcher, gates and cursors, everything else from memory."""
    return _modelled(setting, machine.Deliveries)


def modelled_without_cursors(setting: Setting) -> list[Figure]:
    """The control: what counts as durable is not written."""
    return _modelled(setting, machine.Forgetful)


def _modelled(setting: Setting, which: type[machine.Deliveries]) -> list[Figure]:
    asked = setting.scaled(MODELLED, at_least=20)
    failed = ""
    try:
        machine.play(which, asked, setting.seed)
    except (AssertionError, ExceptionGroup) as error:
        failed = str(error)
        setting.say("\n".join([failed, *getattr(error, "__notes__", [])]))
    return [
        Figure("sequences", which.played),
        Figure("deliveries", which.owed),
        Figure("sequences that broke", int(bool(failed)), 0),
    ]


def played(setting: Setting) -> list[Figure]:
    """Ours."""
    with staged(setting, workers=2, paths=(), env=_SETTINGS, probed=False) as stage:
        return _played(stage)


def played_without_cursors(setting: Setting) -> list[Figure]:
    """The control: workers take a cursor for written which is not."""
    commands: Mapping[str, Sequence[str | Path]] = {
        f"worker-{slot}": command_without("cursors", "worker") for slot in range(2)
    }
    with staged(setting, workers=2, paths=(), env=_SETTINGS, commands=commands, probed=False) as stage:
        return _played(stage)


def _played(stage: Stage) -> list[Figure]:
    # Ordered and unordered, like the model's.
    stage.subscribe(*PATHS[:3], timeout_s=TIMEOUT_S)
    stage.subscribe(*PATHS[3:5], timeout_s=TIMEOUT_S, ordering="per_key")
    stage.subscribe(*PATHS[5:], timeout_s=TIMEOUT_S, ordering="strict")
    stage.wait_until_in_force()
    chance = random.Random(stage.setting.seed)
    sequences = stage.setting.scaled(PLAYED, at_least=2)
    accounts, slowest = [], 0.0
    for number in range(sequences):
        account, took_s = Played(stage, chance).play()
        accounts.append(account)
        slowest = max(slowest, took_s)
        parts = {"taken": account.taken & account.owed, "dead": account.dead, "held": account.held}
        told = ", ".join(f"{len(pairs)} {name}" for name, pairs in parts.items())
        stage.setting.say(f"sequence {number + 1}: {len(account.owed)} owed, {told}; settled after {took_s:.0f} s")
    return [
        Figure("sequences", sequences),
        Figure("owed", sum(len(account.owed) for account in accounts)),
        Figure("lost", sum(len(account.lost) for account in accounts), 0),
        Figure("still waiting", sum(len(_waits(account)) for account in accounts), 0),
        Figure(
            "dead-lettered or held", sum(len((account.dead | account.held) - account.taken) for account in accounts)
        ),
        Figure("sent twice", sum(account.sent_twice for account in accounts)),
        Figure("longest until all had come to an end, s", round(slowest, 1), _SETTLED_WITHIN_S),
    ]


def _waits(account: Account) -> frozenset[tuple[str, str]]:
    return account.waiting - account.taken - account.dead - account.held


@dataclass
class Played:
    """One sequence: random steps with events between them, then everything is mended."""

    stage: Stage
    chance: random.Random

    def play(self) -> tuple[Account, float]:
        """Return the account once all has come to an end, and how many seconds after the mending that was."""
        steps: list[Callable[[], None]] = [
            *[self._fail] * 2, *[self._hang] * 2, self._recover, self._recover,
            *[self._kill] * 3, self._pause, self._pause, self._resume, self._limit, self._disable, self._enable,
        ]  # fmt: skip
        events: set[str] = set()
        for _ in range(STEPS):
            events |= self._publish()
            self.chance.choice(steps)()
        events |= self._publish()
        self._mend()
        began = time.monotonic()
        owed = self.stage.pairs(events)
        suspects = owed
        while True:
            self._wait_until_quiet(owed)
            account = self.stage.account(owed)
            took_s = time.monotonic() - began
            rest = owed - account.taken - account.dead - account.held
            # What is on its way while the topics are read may be seen nowhere: lost is what is lost time and again.
            suspects &= account.lost
            if not rest or took_s > _SETTLED_WITHIN_S or (suspects and took_s > _LOST_AFTER_S):
                return account, took_s

    def _wait_until_quiet(self, owed: frozenset[Pair]) -> None:
        received, count, since = self.stage.received, -1, time.monotonic()
        while time.monotonic() - since < _QUIET_S and not owed <= received.taken.keys():
            if (taken := received.read()) != count:
                count, since = taken, time.monotonic()
            time.sleep(0.1)

    def _publish(self) -> set[str]:
        count = self.chance.choice([1, 10, 80])
        with Publisher(self.stage.stack.bootstrap_servers, source="/faults") as publisher:
            receipts = [
                publisher.publish(
                    type="user.created",
                    organization_id=self.stage.organization,
                    data={"id": str(number)},
                    key=f"k{self.chance.randrange(5)}",
                )
                for number in range(count)
            ]
            found: set[str] = {receipt.result(15.0) for receipt in receipts}
        time.sleep(self.chance.random() * 0.5)
        return found

    @property
    def _path(self) -> str:
        return self.chance.choice(PATHS)

    def _fail(self) -> None:
        share = self.chance.choice([0.2, 1.0])
        self.stage.received.behave(self._path, Behaviour(fail_share=share))

    def _hang(self) -> None:
        self.stage.received.behave(self._path, Behaviour(hang_s=3600.0))

    def _recover(self) -> None:
        self.stage.received.behave(self._path)

    def _kill(self) -> None:
        self.stage.kill(self.chance.choice(["worker-0", "worker-1", "worker-0", "worker-1", "mover", "projector"]))

    def _pause(self) -> None:
        self._ask("POST", self._path, "/pause")

    def _resume(self) -> None:
        self._ask("POST", self._path, "/resume")

    def _limit(self) -> None:
        self._ask("PATCH", self._path, "", {"rate_limit": {"limit": self.chance.choice([1, 30]), "per": "second"}})

    def _disable(self) -> None:
        self._ask("PATCH", self._path, "", {"enabled": False})

    def _enable(self) -> None:
        self._ask("PATCH", self._path, "", {"enabled": True})

    def _mend(self) -> None:
        for path in PATHS:
            self.stage.received.behave(path)
            self._ask("PATCH", path, "", {"enabled": True, "rate_limit": None})
            self._ask("POST", path, "/resume")

    def _ask(self, method: str, path: str, action: str, body: dict[str, object] | None = None) -> None:
        with self.stage.api() as api:
            url = f"/api/v1/subscriptions/{self.stage.subscriptions[path]}{action}"
            answer: httpx.Response = api.request(method, url, json=body)
            assert answer.status_code < 300, answer.text


SCENARIOS: Final = (
    Scenario(
        "machine-model",
        "500 random sequences over a model",
        modelled,
        (Control("cursors that are not written", modelled_without_cursors, ("sequences that broke",)),),
    ),
    Scenario(
        "machine",
        "20 random sequences on the real stack",
        played,
        (Control("cursors that are not written", played_without_cursors, ("lost", "still waiting")),),
    ),
)
