"""Where a fault is played: the real stack, a receiver with fsync, subscriptions that are in force, and the account."""

import asyncio
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import httpx

from compose.children import EmbeddedServerError
from compose.kafka_cluster import KafkaCluster
from compose.stack import Stack
from producers import Publisher
from tests.faults.account import Account
from tests.faults.arrivals import Pair, Received, receiving, wait_for
from tests.faults.loading import Load
from tests.faults.remaining import WORKERS, remaining
from tests.faults.scenario import Setting
from tests.flows.in_force import METERED, in_force

WAITS = "2s,5s,10s,30s,1m,2m"
"""Between attempts: short enough to see them all, long enough that nothing is given up while an endpoint hangs."""
_PROBES = 64  # events, enough for every partition: a worker that routes one knows all subscriptions
_PROBE_WITHIN_S = 20.0
_QUIET_S = 30.0  # without an arrival, before a run is taken to be over


@dataclass
class Stage:
    """One run's processes. Paths of the receiver and subscriptions are one to one."""

    setting: Setting
    stack: Stack
    received: Received
    organization: str = field(default_factory=lambda: f"org_{uuid4().hex[:12]}")
    subscriptions: dict[str, str] = field(default_factory=dict)
    """The id of each path's subscription."""
    group: str = WORKERS
    """Whose acknowledgements say what was not read yet."""

    @property
    def headers(self) -> dict[str, str]:
        """Return what the organization's administrator sends to the API."""
        return {"Authorization": f"Bearer {self.stack.admin_token}", "Hookline-Organization": self.organization}

    def api(self) -> httpx.Client:
        """Return a client for the API, to be closed by the caller."""
        return httpx.Client(base_url=self.stack.api_url, headers=self.headers, trust_env=False, timeout=30.0)

    def subscribe(self, *paths: str, **more: object) -> None:
        """Subscribe paths of the receiver (`/0`) to `user.*`; `more` are settings of the subscription."""
        with self.api() as api:
            for path in paths:
                body = {"url": f"{self.received.url}{path}", "event_types": ["user.*"], **more}
                answer = api.post("/api/v1/subscriptions", json=body)
                assert answer.status_code == 201, answer.text
                self.subscriptions[path] = answer.json()["id"]

    def wait_until_in_force(self) -> None:
        """Return when events of every partition reach every path: what is accepted from then on is owed to all."""
        deadline = time.monotonic() + 120.0
        while not self._probe():
            assert time.monotonic() < deadline, "not every subscription is in force after 120 s"

    def wait_until_followed(self) -> None:
        """Return when our workers know all that the API has answered: no event is published for it."""
        asyncio.run(in_force(self.stack))

    def _probe(self) -> bool:
        with Publisher(self.stack.bootstrap_servers, source="/faults") as publisher:
            receipts = [
                publisher.publish(type="user.created", organization_id=self.organization, data={"id": "probe"})
                for _ in range(_PROBES)
            ]
            events = {receipt.result(10.0) for receipt in receipts}
        owed = self.pairs(events)
        deadline = time.monotonic() + _PROBE_WITHIN_S
        while time.monotonic() < deadline:
            self.received.read()
            if owed <= self.received.taken.keys():
                return True
            time.sleep(0.05)
        return False

    def load(self, *, deliveries_per_s: float, deliveries: int | None = None, keys: Sequence[str] = ()) -> Load:
        """Return a load, to be entered, of so many deliveries over all subscriptions."""
        each = len(self.subscriptions)
        return Load(
            self.stack.bootstrap_servers,
            self.organization,
            events_per_s=deliveries_per_s / each,
            events=None if deliveries is None else max(1, deliveries // each),
            keys=keys,
        )

    def pairs(self, events: Collection[str], paths: Collection[str] = ()) -> frozenset[Pair]:
        """Return what is owed for these events: to all paths, or to those named."""
        return frozenset((event, path) for event in events for path in (paths or self.subscriptions))

    def settle(self, events: Collection[str], *, within_s: float = 300.0, quiet_s: float = _QUIET_S) -> Account:
        """Wait until everything owed was taken, or nothing came for `quiet_s`; return the account.

        What was to be mended must have been. A retry may be due later than `quiet_s`: then it is listed as waiting.
        """
        owed = self.pairs(events)
        deadline, count, since = time.monotonic() + within_s, -1, time.monotonic()
        while True:
            now = time.monotonic()
            if (taken := self.received.read()) != count:
                count, since = taken, now
            if owed <= self.received.taken.keys() or now > deadline or now - since > quiet_s:
                break
            time.sleep(0.1)
        return self.account(owed)

    def account(self, owed: frozenset[Pair]) -> Account:
        """Return where everything owed is now; the topics are read only for what was not taken."""
        self.received.read()
        taken = frozenset(self.received.taken)
        if owed <= taken:
            return Account(owed, taken, twice=dict(self.received.twice))
        there = remaining(self.stack.bootstrap_servers, workers=self.group)
        unrouted = {event for event, subscription in there.waiting if not subscription}
        paths = {subscription: path for path, subscription in self.subscriptions.items()}

        def pairs(of: Collection[tuple[str, str]]) -> frozenset[Pair]:
            return frozenset((event, paths[subscription]) for event, subscription in of if subscription in paths)

        account = Account(
            owed,
            taken=taken,
            dead=pairs(there.dead),
            waiting=pairs(there.waiting) | self.pairs(unrouted),
            held=pairs(there.held),
            twice=dict(self.received.twice),
        )
        if account.told():
            self.setting.say(account.told())
        return account

    def kill(self, name: str) -> bool:
        """SIGKILL a process if it runs just now; return whether it did. The stack starts it again."""
        with suppress(EmbeddedServerError):
            self.stack.kill(name)
            return True
        return False


@contextmanager
def staged(
    setting: Setting,
    *,
    workers: int = 1,
    paths: Sequence[str] = tuple(f"/{number}" for number in range(10)),
    env: Mapping[str, str] | None = None,
    commands: Mapping[str, Sequence[str | Path]] | None = None,
    kafka: KafkaCluster | None = None,
    idle: Collection[str] = (),
    probed: bool = True,
) -> Iterator[Stage]:
    """Run a stack with a receiver, and subscriptions in force at `paths`; processes named in `idle` are held back.

    Unless `probed` no event comes before the caller's own, and nobody has seen that the subscriptions are known.
    """
    settings = {"HOOKLINE_RETRY_WAITS": WAITS, "HOOKLINE_LOG_LEVEL": "info", **METERED, **(env or {})}
    with receiving(setting.folder / "receiver", seed=setting.seed) as received:
        stack = Stack(setting.folder / "stack", workers=workers, env=settings, commands=commands, kafka=kafka)
        stack.start()
        try:
            for name in idle:
                stack.hold(name)
            stage = Stage(setting, stack, received)
            stage.subscribe(*paths)
            if probed:
                stage.wait_until_in_force()
            yield stage
        finally:
            stack.stop()


def wait_until_taken(stage: Stage, events: Collection[str], *, within_s: float) -> bool:
    """Return whether everything owed for these events was taken in time."""
    return wait_for(stage.received, len(stage.pairs(events)), within_s=within_s)
