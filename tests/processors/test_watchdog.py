"""A worker that stands still while its partitions have records ends itself."""

import threading
import time
from uuid import uuid4

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from processors.watchdog import EXIT_STALLED, Place, Progress, Sight, Watchdog

A: Place = ("t", 0)
B: Place = ("t", 1)


@pytest.mark.parametrize(
    ("looks", "stalled_s"),
    [
        ([{A: Sight(5, 5)}, {A: Sight(5, 5)}], 0.0),  # nothing to do is no stall
        ([{A: Sight(5, 9)}, {A: Sight(5, 9)}], 10.0),
        ([{A: Sight(5, 9)}, {A: Sight(6, 9)}], 0.0),  # it moves
        ([{A: Sight(5, 9)}, {A: Sight(5, 99)}], 10.0),  # more to do is no progress
        ([{A: Sight(5, 9)}, {A: Sight(9, 9)}, {A: Sight(9, 10)}], 0.0),  # done in between: it begins anew
        ([{A: Sight(5, 9), B: Sight(0, 1)}, {A: Sight(6, 9), B: Sight(0, 1)}], 10.0),  # one of two stands still
        ([{A: Sight(5, 9)}, {}, {A: Sight(5, 9)}], 0.0),  # it was somebody else's meanwhile
        ([{}], 0.0),
    ],
)
def test_a_stall_is_records_and_no_progress(looks: list[dict[Place, Sight]], stalled_s: float) -> None:
    progress = Progress()
    for number, seen in enumerate(looks):
        found = progress.stalled_s(seen, now=100.0 + 10 * number)
    assert found == stalled_s


@pytest.mark.kafka
def test_a_group_that_commits_nothing_ends_the_process_and_one_that_has_nothing_to_do_does_not(bootstrap: str) -> None:
    topic, group = f"watchdog-{uuid4().hex}", f"watchdog-{uuid4().hex}"
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result()
    ended = threading.Event()
    codes: list[int] = []

    def end(code: int) -> None:
        codes.append(code)
        ended.set()

    watchdog = Watchdog(
        {"bootstrap.servers": bootstrap},
        group=group,
        assigned=lambda: [(topic, 0)],
        stalled_after_s=1.0,
        end=end,
        look_every_s=0.3,
    )
    watchdog.start()
    assert not ended.wait(2.5), "an empty partition is no stall"
    producer = Producer({"bootstrap.servers": bootstrap})
    producer.produce(topic, b"x")
    assert producer.flush(30) == 0
    assert ended.wait(10)
    assert codes == [EXIT_STALLED]
    watchdog.stop()


@pytest.mark.kafka
def test_the_time_that_kafka_was_away_is_no_stall(bootstrap: str) -> None:
    """Otherwise every worker would end at the moment when the brokers are back."""
    topic, group = f"watchdog-{uuid4().hex}", f"watchdog-{uuid4().hex}"
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result()
    producer = Producer({"bootstrap.servers": bootstrap})
    producer.produce(topic, b"x")
    assert producer.flush(30) == 0
    away: list[float] = []
    back: list[float] = []
    ends: list[float] = []
    ended = threading.Event()

    def end(_: int) -> None:
        ends.append(time.monotonic())
        ended.set()

    def assigned() -> list[Place]:
        # Once a look has begun to count: until the group's coordinator is there, looks fail by themselves. A second one
        # before might be the end, were the machine to stand still between them.
        if len(away) < 8 and (away or watchdog._progress._since):
            away.append(time.monotonic())
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))
        if away:
            back.append(time.monotonic())
        return [(topic, 0)]

    watchdog = Watchdog(
        {"bootstrap.servers": bootstrap},
        group=group,
        assigned=assigned,
        stalled_after_s=1.0,
        end=end,
        look_every_s=0.2,
    )
    watchdog.start()
    assert ended.wait(60)
    assert away[-1] - away[0] > 1.0
    assert ends[0] - back[0] >= 1.0
    watchdog.stop()
