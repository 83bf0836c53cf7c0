"""Records on the real Kafka: reported when all replicas have them, and none lost whatever the client does."""

import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from random import Random

import psutil
import pytest
from aiokafka.partitioner import DefaultPartitioner
from confluent_kafka import KafkaError

from producers.errors import BrokersAway, ProducerClosed, ProducingError, QueueFull
from producers.records import Outgoing, RecordProducer, ReportThread
from producers.settings import KafkaSettings
from tests.machine import SLOW_MACHINE_S
from tests.producers.topics import arrived_on, closed_port, made_topic

FATAL = KafkaError(KafkaError._FATAL, "idempotence is broken", fatal=True)


class Reports:
    """What became of records, in the order it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[int, ProducingError | None]] = []

    def of(self, number: int) -> Callable[[ProducingError | None], None]:
        return lambda error: self.told.append((number, error))

    @property
    def kinds(self) -> set[type[BaseException] | None]:
        return {None if error is None else type(error) for _, error in self.told}


@contextmanager
def producer_to(
    bootstrap: str, *, patience_s: float = 20, linger_ms: float = 1, most_waiting: int = 100_000
) -> Iterator[RecordProducer]:
    config = KafkaSettings(bootstrap_servers=bootstrap).client_config()
    producer = RecordProducer(config, patience_s=patience_s, linger_ms=linger_ms, most_waiting=most_waiting)
    try:
        yield producer
    finally:
        producer.close(0)


def wait_until(holds: Callable[[], bool], within_s: float = 60) -> bool:
    """Return whether it held in time."""
    deadline = time.monotonic() + within_s
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.01)
    return holds()


@pytest.fixture(scope="module")
def nobody() -> str:
    return closed_port()


@pytest.fixture
def topic(bootstrap: str) -> Iterator[str]:
    with made_topic(bootstrap) as name:
        yield name


def record(topic: str, number: int, key: bytes | None = b"k") -> Outgoing:
    return Outgoing(topic, key, str(number).encode(), [("n", str(number).encode())])


@pytest.mark.kafka
def test_each_record_is_reported_once_when_the_broker_has_it(bootstrap: str, topic: str) -> None:
    reports = Reports()
    with producer_to(bootstrap) as producer:
        for number in range(1000):
            producer.produce(record(topic, number), reports.of(number))
        assert producer.flush(30) == 0
        assert producer.unreported == 0
    assert reports.told == [(number, None) for number in range(1000)]
    arrived = arrived_on(bootstrap, topic)
    assert [(message.value(), message.headers()) for message in arrived] == [
        (str(number).encode(), [("n", str(number).encode())]) for number in range(1000)
    ]


@pytest.mark.kafka
def test_a_tombstone_and_a_record_without_key_arrive_as_such(bootstrap: str, topic: str) -> None:
    reports = Reports()
    with producer_to(bootstrap) as producer:
        producer.produce(Outgoing(topic, b"k", None, []), reports.of(0))
        producer.produce(Outgoing(topic, None, b"v", []), reports.of(1))
        producer.flush(30)
    assert [(message.key(), message.value()) for message in arrived_on(bootstrap, topic)] == [
        (b"k", None),
        (None, b"v"),
    ]


@pytest.mark.kafka
def test_nothing_is_reported_before_somebody_serves(bootstrap: str, topic: str) -> None:
    reports = Reports()
    with producer_to(bootstrap) as producer:
        producer.produce(record(topic, 0), reports.of(0))
        arrived_on(bootstrap, topic, until=lambda found: len(found) == 1)
        assert reports.told == []
        assert producer.unreported == 1
        producer.serve(5)
        assert reports.told == [(0, None)]


@pytest.mark.parametrize(
    ("key", "murmur2"),
    # org.apache.kafka.common.utils.UtilsTest.testMurmur2
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_the_partitioner_we_compare_with_is_javas(key: bytes, murmur2: int) -> None:
    partitions = list(range(64))
    expected = struct.unpack("<I", struct.pack("<i", murmur2))[0] & 0x7FFFFFFF
    assert DefaultPartitioner()(key, partitions, partitions) == expected % 64


@pytest.mark.kafka
def test_keys_go_to_the_partitions_that_java_and_faust_choose(bootstrap: str) -> None:
    random, partitions = Random(0), list(range(16))
    keys = [random.randbytes(random.randint(1, 60)) for _ in range(200)] + [b"21", b"foobar", b"abc"]
    with made_topic(bootstrap, partitions=16) as topic, producer_to(bootstrap) as producer:
        for number, key in enumerate(keys):
            producer.produce(record(topic, number, key), Reports().of(number))
        assert producer.flush(30) == 0
        arrived = arrived_on(bootstrap, topic, partitions=16)
    choose = DefaultPartitioner()
    assert {(message.key(), message.partition()) for message in arrived} == {
        (key, choose(key, partitions, partitions)) for key in keys
    }


def test_brokers_that_are_away_are_reported_within_patience(nobody: str) -> None:
    reports = Reports()
    with producer_to(nobody, patience_s=1.5) as producer:
        started = time.monotonic()
        producer.produce(record("t", 0), reports.of(0))
        assert producer.flush(30) == 0
        took_s = time.monotonic() - started
    assert reports.kinds == {BrokersAway}
    assert 1 <= took_s < 1.5 + SLOW_MACHINE_S  # librdkafka looks once a second


def test_a_full_queue_blocks_and_then_says_so(nobody: str) -> None:
    with producer_to(nobody, most_waiting=10) as producer:
        for number in range(10):
            producer.produce(record("t", number), Reports().of(number))
        started = time.monotonic()
        with pytest.raises(QueueFull, match="10 records wait"):
            producer.produce(record("t", 10), Reports().of(10), wait_s=0.5)
        assert 0.5 <= time.monotonic() - started < SLOW_MACHINE_S
        assert producer.unreported == 10


@pytest.mark.kafka
def test_a_caller_faster_than_kafka_is_held_back_and_loses_nothing(bootstrap: str, topic: str) -> None:
    reports = Reports()
    with producer_to(bootstrap, most_waiting=20) as producer:
        for number in range(2000):
            producer.produce(record(topic, number), reports.of(number))
        assert producer.flush(30) == 0
    assert reports.told == [(number, None) for number in range(2000)]


def test_close_gives_up_what_is_left_and_says_so(nobody: str) -> None:
    reports = Reports()
    with producer_to(nobody) as producer:
        for number in range(3):
            producer.produce(record("t", number), reports.of(number))
        assert producer.close(0.3) == 3
        assert reports.kinds == {ProducerClosed}
        assert sorted(number for number, _ in reports.told) == [0, 1, 2]
        with pytest.raises(ProducerClosed):
            producer.produce(record("t", 3), reports.of(3))
        producer.serve(0.2)  # of what was purged nobody hears again
        assert len(reports.told) == 3
        assert producer.close(0) == 0


@pytest.mark.kafka
def test_what_was_given_up_does_not_arrive_later(bootstrap: str, topic: str) -> None:
    with producer_to(bootstrap, linger_ms=1000) as producer:
        producer.produce(record(topic, 0), Reports().of(0))
        assert producer.close(0) == 1
        with producer_to(bootstrap) as later:
            later.produce(record(topic, 1), Reports().of(1))
            assert later.flush(30) == 0
        producer.serve(1.5)  # longer than it would have lingered
    assert [message.value() for message in arrived_on(bootstrap, topic)] == [b"1"]


@pytest.mark.kafka
def test_a_record_over_the_clients_limit_is_refused_at_once(bootstrap: str, topic: str) -> None:
    with producer_to(bootstrap) as producer:
        with pytest.raises(ProducingError, match="Message size too large"):
            producer.produce(Outgoing(topic, b"k", b"x" * (3 * 1024 * 1024), []), Reports().of(0))
        assert producer.unreported == 0


@pytest.mark.kafka
def test_a_record_over_the_topics_limit_is_reported(bootstrap: str) -> None:
    reports = Reports()
    with made_topic(bootstrap, largest_bytes=1000) as topic, producer_to(bootstrap) as producer:
        producer.produce(Outgoing(topic, b"k", Random(0).randbytes(5000), []), reports.of(0))
        assert producer.flush(30) == 0  # on its own: a broker refuses a batch as a whole
        producer.produce(record(topic, 1), reports.of(1))
        assert producer.flush(30) == 0
    (_, refused), (_, taken) = reports.told
    assert type(refused) is ProducingError
    assert "too large" in str(refused)
    assert taken is None


@pytest.mark.kafka
def test_after_a_fatal_error_a_new_client_sends_what_is_unreported(bootstrap: str, topic: str) -> None:
    reports = Reports()
    with producer_to(bootstrap, linger_ms=50) as producer:
        for number in range(2000):
            if number in {500, 501, 1500}:
                producer._on_error(producer._generation, FATAL)
            producer.produce(record(topic, number), reports.of(number))
        producer._on_error(producer._generation, FATAL)
        assert producer.flush(30) == 0
    assert sorted(reports.told, key=lambda told: told[0]) == [(number, None) for number in range(2000)]
    arrived = [int(message.value() or b"") for message in arrived_on(bootstrap, topic)]
    assert set(arrived) == set(range(2000))
    assert list(dict.fromkeys(arrived)) == list(range(2000))  # in order, whatever came twice


@pytest.mark.kafka
@pytest.mark.parametrize("code", [KafkaError._FATAL, KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT])
def test_a_record_that_the_client_threw_away_is_sent_by_the_next(bootstrap: str, topic: str, code: int) -> None:
    reports = Reports()
    with producer_to(bootstrap, linger_ms=500) as producer:
        producer.produce(record(topic, 0), reports.of(0))
        producer._unreported[0](KafkaError(code))
        assert producer.flush(30) == 0
        assert producer._generation == 1
    assert reports.told == [(0, None)]
    assert arrived_on(bootstrap, topic)


@pytest.mark.kafka
def test_a_fatal_error_while_many_threads_serve_is_answered_once(bootstrap: str, topic: str) -> None:
    reports = Reports()
    with producer_to(bootstrap, linger_ms=50) as producer:
        threads = [ReportThread(producer) for _ in range(4)]
        for number in range(3000):
            producer.produce(record(topic, number), reports.of(number))
            if number == 1500:
                producer._on_error(producer._generation, FATAL)
        assert producer.flush(30) == 0
        assert producer._generation == 1  # the old client's purged records break nothing
        for thread in threads:
            thread.stop()
    assert sorted(number for number, _ in reports.told) == list(range(3000))
    assert reports.kinds == {None}


def test_a_full_queue_fits_into_the_client_that_comes_next(nobody: str) -> None:
    reports = Reports()
    with producer_to(nobody, patience_s=2, most_waiting=100) as producer:
        for number in range(100):
            producer.produce(record("t", number), reports.of(number))
        producer._on_error(producer._generation, FATAL)
        with pytest.raises(QueueFull):  # while it is broken nothing is taken that the next one could not hold
            producer.produce(record("t", 100), reports.of(100), wait_s=0)
        assert producer.flush(30) == 0
    assert reports.kinds == {BrokersAway}
    assert len(reports.told) == 100


def test_a_closed_producer_makes_no_new_client(nobody: str) -> None:
    with producer_to(nobody) as producer:
        producer.produce(record("t", 0), Reports().of(0))
        producer._on_error(producer._generation, FATAL)
        producer.close(0)
        producer._on_error(producer._generation, FATAL)
        producer.serve(0.1)
        assert producer._generation == 0


@pytest.mark.kafka
def test_a_thread_that_serves_goes_on_when_no_new_client_could_be_made(bootstrap: str, topic: str) -> None:
    reports = Reports()
    with producer_to(bootstrap, linger_ms=500) as producer:
        producer.produce(record(topic, 0), reports.of(0))
        producer._config["linger.ms"] = "no number"
        producer._on_error(0, FATAL)
        thread = ReportThread(producer)
        time.sleep(0.3)  # it tries, fails and logs
        producer._config["linger.ms"] = 1
        assert wait_until(lambda: reports.told == [(0, None)])
        thread.stop()


def test_a_closed_producers_client_is_gone_with_its_threads(nobody: str) -> None:
    with producer_to(nobody) as producer:
        before = psutil.Process().num_threads()
        producer.close(0)
        assert psutil.Process().num_threads() < before


def test_late_errors_of_a_replaced_client_are_nobodys_business(nobody: str) -> None:
    reports = Reports()
    with producer_to(nobody) as producer:
        producer.produce(record("t", 0), reports.of(0))
        of_the_first_client = producer._unreported[0]
        producer._on_error(0, FATAL)
        producer.serve(0)
        producer._on_error(0, FATAL)
        of_the_first_client(KafkaError(KafkaError._PURGE_QUEUE))
        of_the_first_client(KafkaError(KafkaError._MSG_TIMED_OUT))
        producer.serve(0)
        assert (producer._generation, producer.unreported, reports.told) == (1, 1, [])


@pytest.mark.kafka
def test_a_report_that_raises_keeps_no_other_from_being_told(bootstrap: str, topic: str) -> None:
    def failing(_: ProducingError | None) -> None:
        raise RuntimeError("the caller's own")

    reports, told = Reports(), threading.Event()
    with producer_to(bootstrap) as producer:
        thread = ReportThread(producer)
        producer.produce(record(topic, 0), failing)
        assert producer.flush(30) == 0
        producer.produce(record(topic, 1), reports.of(1))
        producer.produce(record(topic, 2), lambda _: told.set())
        assert told.wait(30)
        thread.stop()
    assert reports.told == [(1, None)]


def test_closing_tells_the_others_when_one_report_raises(nobody: str) -> None:
    def failing(_: ProducingError | None) -> None:
        raise RuntimeError("the caller's own")

    reports = Reports()
    with producer_to(nobody) as producer:
        producer.produce(record("t", 0), failing)
        producer.produce(record("t", 1), reports.of(1))
        assert producer.close(0) == 2
    assert reports.kinds == {ProducerClosed}


def test_who_publishes_serves_reports_as_well(nobody: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread alone came so rarely to the interpreter's lock that most of 100,000 records had no report yet."""
    served = []
    with producer_to(nobody) as producer:
        thread = ReportThread(producer)
        monkeypatch.setattr(producer, "serve", lambda timeout_s: served.append((threading.get_ident(), timeout_s)))
        for _ in range(1024):
            thread.published()
        thread.stop()
    assert served.count((threading.get_ident(), 0)) == 4  # without waiting


def test_with_many_under_way_the_thread_still_serves(nobody: str) -> None:
    reports = Reports()
    with producer_to(nobody, patience_s=1.5) as producer:
        thread = ReportThread(producer)
        for number in range(1000):
            producer.produce(record("t", number), reports.of(number))
        assert wait_until(lambda: len(reports.told) == 1000)
        thread.stop()
    assert reports.kinds == {BrokersAway}


@pytest.mark.kafka
def test_eight_threads_share_a_producer(bootstrap: str, topic: str) -> None:
    reports = Reports()
    with producer_to(bootstrap, most_waiting=500) as producer:
        thread = ReportThread(producer)

        def produce(first: int) -> None:
            for number in range(first, first + 1000):
                producer.produce(record(topic, number, str(first).encode()), reports.of(number))

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(produce, range(0, 8000, 1000)))
        assert producer.flush(30) == 0
        thread.stop()
    assert sorted(reports.told) == [(number, None) for number in range(8000)]
    arrived = [(message.key(), int(message.value() or b"")) for message in arrived_on(bootstrap, topic)]
    for first in range(0, 8000, 1000):
        of_key = [number for key, number in arrived if key == str(first).encode()]
        assert of_key == list(range(first, first + 1000))


def test_settings_become_librdkafkas_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "a:1,b:2")
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    monkeypatch.setenv("KAFKA_SASL_USERNAME", "me")
    monkeypatch.setenv("KAFKA_SASL_PASSWORD", "hunter2")
    monkeypatch.setenv("KAFKA_SSL_CA_LOCATION", "")
    settings = KafkaSettings()
    assert settings.client_config() == {
        "bootstrap.servers": "a:1,b:2",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "me",
        "sasl.password": "hunter2",
    }
    assert "hunter2" not in repr(settings)
    with_ca = KafkaSettings(security_protocol="SSL", ssl_ca_location="/ca.pem", bootstrap_servers="x:1")
    assert with_ca.client_config() == {
        "bootstrap.servers": "x:1",
        "security.protocol": "SSL",
        "ssl.ca.location": "/ca.pem",
    }
