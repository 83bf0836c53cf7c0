"""A million records wait: in the tiers, and behind subscriptions that are paused. Live events must not notice."""

import random
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from confluent_kafka import Producer

from schemas.codec import encode
from schemas.headers import delivery_headers
from schemas.ids import OrganizationId, SubscriptionId, delivery_id_of, new_event_id
from schemas.records import Delivery, Position
from schemas.topics import DELIVER, EVENTS, PARTITIONER, retry_topic
from tests.faults.figures import Figure
from tests.faults.memory import resident_mb
from tests.faults.remaining import WORKERS, Topics
from tests.faults.scenario import Control, Scenario, Setting
from tests.faults.stage import Stage, staged
from tests.faults.without import command_without

WAITING: Final = 1_000_000
PAUSED: Final = tuple(f"/paused-{number}" for number in range(16))  # of 8 partitions, so that hardly one is spared
LIVE: Final = tuple(f"/{number}" for number in range(10))
TIERS: Final = (timedelta(hours=1), timedelta(hours=6))
FIRST_WITHIN_S: Final = 5.0
MOST_MB: Final = 150
PER_S: Final = 100
_LIVE_WITHIN_S: Final = 30.0
_FILLED_WITHIN_S: Final = 300.0
_STEADY_S: Final = 8.0
# As hard to compress as ids and names are: of one letter, a fetch of 1 MB would be 15 MB when it is unpacked.
_BODIES: Final = [b'{"id":"%s"}' % random.Random(number).randbytes(200).hex().encode() for number in range(997)]
_SETTINGS: Final = {"HOOKLINE_RETRY_WAITS": "1m,5m,15m,1h,6h,24h"}
_PROBE_EVERY_S: Final = 0.05


def million(setting: Setting) -> list[Figure]:
    """Ours."""
    return _waiting(setting, {})


def million_that_stay_live(setting: Setting) -> list[Figure]:
    """The control: what a paused subscription has waiting holds its partition, and all who share it."""
    return _waiting(setting, {"worker-0": command_without("going-behind", "worker")})


def _waiting(setting: Setting, commands: Mapping[str, Sequence[str | Path]]) -> list[Figure]:
    with staged(setting, paths=LIVE, env=_SETTINGS, commands=commands, idle=("projector",)) as stage:
        before_s, worker_before, mover_before = _restarted(stage)
        live = dict(stage.subscriptions)
        stage.subscribe(*PAUSED)
        paused = [stage.subscriptions[path] for path in PAUSED]
        with stage.api() as api:
            for one in paused:
                api.post(f"/api/v1/subscriptions/{one}/pause").raise_for_status()
        stage.subscriptions = live  # nothing is owed to the others
        stage.wait_until_followed()
        count = setting.scaled(WAITING, at_least=2000)
        began = time.monotonic()
        _fill(stage, paused, count)
        setting.say(f"{count:,} records were produced in {time.monotonic() - began:.0f} s")
        _wait_until_read(stage)
        worker_filled = resident_mb(stage.stack.child("worker-0").process.pid)
        after_s, worker_after, mover_after = _restarted(stage)
    setting.say(f"worker {worker_before:.0f} MB, filled {worker_filled:.0f}, after a restart {worker_after:.0f}")
    return [
        Figure("waiting", count),
        Figure("first live event after a restart, none waiting, s", round(before_s, 2)),
        Figure("first live event after a restart, s", round(after_s, 2), FIRST_WITHIN_S),
        Figure("worker, MB more than with none waiting", round(worker_after - worker_before), MOST_MB),
        Figure("worker when all had come, MB more", round(worker_filled - worker_before), MOST_MB),
        Figure("mover, MB more", round(mover_after - mover_before), MOST_MB),
    ]


def _restarted(stage: Stage) -> tuple[float, float, float]:
    """Kill worker and mover under load.

    Return after how many seconds of the new worker every live path had its first event, and the two's memory after
    some seconds of load.
    """
    old = stage.stack.child("worker-0").process.pid
    stage.kill("mover")
    stage.kill("worker-0")
    while (new := _pid_of(stage)) in (old, None):
        time.sleep(0.01)
    began = time.time()
    first = _LIVE_WITHIN_S
    with stage.load(deliveries_per_s=PER_S) as load:
        while time.time() - began < _LIVE_WITHIN_S:
            stage.received.read()
            # What the old one had taken may still arrive; what was published after its end cannot.
            late = {pair[1]: at for pair, at in reversed(stage.received.taken.items()) if at > began}
            if late.keys() >= set(LIVE):
                first = max(late.values()) - began
                break
            time.sleep(_PROBE_EVERY_S)
        time.sleep(_STEADY_S)
    del load
    mover = stage.stack.child("mover").process.pid
    return first, resident_mb(new or 0), resident_mb(mover)


def _pid_of(stage: Stage) -> int | None:
    child = stage.stack._processes["worker-0"].child
    return None if child is None else child.process.pid


def _fill(stage: Stage, paused: Sequence[str], count: int) -> None:
    """Put half of them on two tiers, due in hours, and half on the deliver topic."""
    producer = Producer(
        {
            "bootstrap.servers": stage.stack.bootstrap_servers,
            "partitioner": PARTITIONER,
            "compression.codec": "lz4",
            "linger.ms": 50,
            "queue.buffering.max.messages": 500_000,
            "log_level": 0,
        }
    )
    now = datetime.now(UTC)
    for number in range(count):
        subscription = SubscriptionId(paused[number // 2 % len(paused)])
        wait = TIERS[number // 2 % len(TIERS)]
        waits_in_tier = number % 2 == 0
        delivery = _delivery(stage, subscription, now + wait if waits_in_tier else now, attempt=1 + waits_in_tier)
        producer.produce(
            retry_topic(wait) if waits_in_tier else DELIVER,
            encode(delivery),
            subscription.encode(),
            headers=[*delivery_headers(delivery)],
        )
        if number % 1000 == 0:
            producer.poll(0)
            while len(producer) > 100_000:
                producer.poll(0.1)
    assert producer.flush(60) == 0


def _delivery(stage: Stage, subscription: SubscriptionId, due_at: datetime, *, attempt: int) -> Delivery:
    event = new_event_id()
    return Delivery(
        id=delivery_id_of(event, subscription),
        event_id=event,
        event_type="user.created",
        organization_id=OrganizationId(stage.organization),
        subscription_id=subscription,
        subscription_version=1,
        body=_BODIES[hash(event) % len(_BODIES)],
        event_position=Position(topic=EVENTS, partition=0, offset=0),
        event_created_at=due_at,
        due_at=due_at,
        attempt=attempt,
    )


def _wait_until_read(stage: Stage) -> None:
    """Return when the worker has acknowledged what it was given, or will not: then a live load shows it."""
    topics = Topics(stage.stack.bootstrap_servers)
    deadline, last, since = time.monotonic() + _FILLED_WITHIN_S, -1, time.monotonic()
    while time.monotonic() < deadline:
        committed, ends = sum(topics.committed(DELIVER, WORKERS).values()), sum(topics.ends(DELIVER).values())
        if committed >= ends:
            return
        if committed != last:
            last, since = committed, time.monotonic()
        if time.monotonic() - since > 20:
            stage.setting.say(f"{ends - committed:,} records are not acknowledged and stay so")
            return
        time.sleep(0.5)


SCENARIOS: Final = (
    Scenario(
        "million",
        "1,000,000 records waiting, in tiers and behind paused subscriptions",
        million,
        (
            Control(
                "a paused subscription stays live",
                million_that_stay_live,
                ("first live event after a restart, s",),
            ),
        ),
    ),
)
