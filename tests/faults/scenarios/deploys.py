"""A release that reads one topic more replaces the workers one after the other, under load (FAUST.md, F17)."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tests.faults.figures import Figure
from tests.faults.scenario import Control, Scenario, Setting
from tests.faults.stage import Stage, staged
from tests.faults.without import command_without

TOPIC: Final = "hookline.one-more"
PARTITIONS: Final = 8
WORKERS: Final = 3
PER_S: Final = 200
READ_WITHIN_S: Final = 40.0  # sessions of those that were replaced, 6 s each, and the rebalances after them


def rolling(setting: Setting) -> list[Figure]:
    """Ours: a static member's name says which topics it reads."""
    return _rolled_out(setting, "nothing")


def rolling_under_the_same_names(setting: Setting) -> list[Figure]:
    """The control: members come back under the same name, and before their session ends, however slow the machine."""
    return _rolled_out(setting, "topics-in-names", {"HOOKLINE_SESSION_TIMEOUT_S": "45"})


def _rolled_out(setting: Setting, without: str, env: Mapping[str, str] | None = None) -> list[Figure]:
    names = [f"worker-{slot}" for slot in range(WORKERS)]
    read = setting.folder / "one-more"
    read.touch()
    old = command_without(without, "worker")
    new = command_without(without, "worker", new_release=(TOPIC, read))
    with staged(setting, workers=WORKERS, commands=dict.fromkeys(names, old), env=env) as stage:
        admin = AdminClient({"bootstrap.servers": stage.stack.bootstrap_servers, "log_level": 0})
        admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])[TOPIC].result(20)
        with stage.load(deliveries_per_s=PER_S) as load:
            for name in names:
                time.sleep(3.0)  # of load
                stage.stack.commands[name] = new
                stage.stack.child(name).stop(within_s=40.0)
                stage.stack.wait_until_ready(name)
            unread = _unread(stage, read)
            time.sleep(3.0)
        account = stage.settle(load.accepted)
    setting.say(f"partitions that nobody reads: {sorted(unread)}")
    return [*account.figures(), Figure("unserved partitions of the new topic", len(unread), 0)]


def _unread(stage: Stage, read: Path) -> set[int]:
    """Return the partitions of the new topic whose record nobody reads."""
    producer = Producer({"bootstrap.servers": stage.stack.bootstrap_servers, "log_level": 0})
    for partition in range(PARTITIONS):
        producer.produce(TOPIC, b"one more", partition=partition)
    producer.flush(10)
    deadline = time.monotonic() + READ_WITHIN_S
    while unread := set(range(PARTITIONS)) - {int(line.split()[0]) for line in read.read_text().splitlines()}:
        if time.monotonic() > deadline:
            break
        time.sleep(0.1)
    return unread


SCENARIOS: Final = (
    Scenario(
        "deploy",
        "rolling deploy of three workers with one topic more",
        rolling,
        (
            Control(
                "static members named by the slot alone",
                rolling_under_the_same_names,
                ("unserved partitions of the new topic",),
            ),
        ),
    ),
)
