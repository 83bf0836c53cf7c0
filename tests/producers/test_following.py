"""A compacted topic in memory: what goes wrong on the way ends nothing."""

import threading
from typing import Any

import pytest
import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from producers import following
from producers.following import Here, TopicFollower
from tests.producers.topics import made_topic


class Stumbling(Consumer):
    """The client, which fails now and then as it may when its brokers come and go."""

    left = 3

    def position(self, *given: Any) -> Any:
        if self.left:
            self.left -= 1
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        return super().position(*given)


@pytest.mark.kafka
@pytest.mark.parametrize("failing", ["the client", "who takes a record"])
def test_what_fails_is_logged_and_the_topic_is_followed_on(
    failing: str, bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, is_last = [], threading.Event()

    def take(key: bytes, _: bytes | None) -> None:
        if failing == "who takes a record" and key == b"first":
            raise ZeroDivisionError
        taken.append(key)
        if key == b"last":
            is_last.set()

    if failing == "the client":
        monkeypatch.setattr(following, "Consumer", Stumbling)
    with made_topic(bootstrap, partitions=1) as topic, structlog.testing.capture_logs() as logs:
        producer = Producer({"bootstrap.servers": bootstrap})
        producer.produce(topic, b"1", b"first")
        assert producer.flush(30) == 0
        follower = TopicFollower(
            topic, {"bootstrap.servers": bootstrap}, Here(), take=take, on_unreadable=lambda *_: None
        )
        try:
            assert follower.start_blocking(20)
            producer.produce(topic, b"2", b"last")
            assert producer.flush(30) == 0
            assert is_last.wait(20)
        finally:
            follower.close()
    said = [log["event"] for log in logs if log["log_level"] == "error"]
    if failing == "the client":
        assert (taken, said) == ([b"first", b"last"], ["index.following_failed"] * 3)
    else:
        assert (taken, said) == ([b"last"], ["index.call_failed"])


@pytest.mark.kafka
def test_a_place_that_the_log_no_longer_has_is_followed_by_all_that_it_has(bootstrap: str) -> None:
    taken = threading.Event()

    class FarAhead(TopicFollower):
        """As after a topic that was made anew, shorter than it was."""

        def _assign_all(self) -> dict[int, int]:
            self._consumer.assign([TopicPartition(topic, 0, 10_000)])
            return {0: 10_000}

    with made_topic(bootstrap, partitions=1) as topic:
        producer = Producer({"bootstrap.servers": bootstrap})
        producer.produce(topic, b"1", b"first")
        assert producer.flush(30) == 0
        follower = FarAhead(
            topic, {"bootstrap.servers": bootstrap}, Here(), take=lambda *_: taken.set(), on_unreadable=lambda *_: None
        )
        try:
            follower.start_blocking(0)
            assert taken.wait(60)
        finally:
            follower.close()
