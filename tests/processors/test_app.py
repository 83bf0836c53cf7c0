"""The Faust settings that FAUST.md asks for, as the app really has them."""

import socket
import tempfile
from pathlib import Path

import pytest
from pydantic import SecretStr

from processors.app import MOST_POLLED, TOPICS, instance_id, new_app, raw_topic
from processors.errors import WorkerError
from processors.settings import LONGEST_TIMEOUT, WorkerSettings
from producers.settings import KafkaSettings
from schemas.topics import DELIVER, EVENTS

KAFKA = KafkaSettings(bootstrap_servers="127.0.0.1:1, localhost:2")


def settings(**more: object) -> WorkerSettings:
    return WorkerSettings(**more)  # type: ignore[arg-type]  # pydantic checks them


@pytest.mark.parametrize("partitions", [1, 8, 32])
def test_a_stream_buffer_holds_one_poll_of_every_partition_beyond_its_pressure_mark(partitions: int) -> None:
    """F10: one agent whose queue is full stops the loop that feeds all of them."""
    app = new_app(settings(partitions=partitions), KAFKA)
    assert app.conf.broker_max_poll_records == MOST_POLLED
    assert app.conf.stream_buffer_maxsize * 0.2 > partitions * MOST_POLLED


def test_more_partitions_than_the_buffer_is_sized_for_are_refused_with_the_most_that_work() -> None:
    with pytest.raises(WorkerError, match="at most 32"):
        new_app(settings(partitions=33), KAFKA)


def test_one_more_topic_makes_another_member() -> None:
    """F17: a static member that comes back with one more topic causes no rebalance."""
    names = {
        instance_id(settings()),
        instance_id(settings(), (*TOPICS, "hookline.next")),
        instance_id(settings(), (EVENTS, DELIVER)),
        instance_id(settings(), (EVENTS,)),
        instance_id(settings(worker_slot="1")),
        instance_id(settings(worker_group="other")),
    }
    assert len(names) == 6


def test_a_member_keeps_its_name_over_restarts() -> None:
    assert instance_id(settings()) == instance_id(settings(), tuple(reversed(TOPICS)))
    assert new_app(settings(), KAFKA).conf.consumer_group_instance_id == instance_id(settings())


def test_the_canonical_url_is_the_slots_and_not_the_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    """F18: a static member that comes back with another URL is alive and consumes nothing."""
    here = new_app(settings(worker_slot="7"), KAFKA).conf.canonical_url
    monkeypatch.setattr(socket, "gethostname", lambda: "another-host")
    monkeypatch.setenv("NODE_HOSTNAME", "another-host")
    assert new_app(settings(worker_slot="7"), KAFKA).conf.canonical_url == here
    assert str(here) == "http://hookline-worker-7"


def test_an_attempt_ends_before_a_rebalance_gives_up_on_us() -> None:
    """F4: handlers longer than the rebalance timeout mean reprocessing for ever."""
    conf = new_app(settings(), KAFKA).conf
    assert conf.broker_rebalance_timeout >= LONGEST_TIMEOUT.total_seconds()
    assert conf.stream_wait_empty is False


def test_neither_topics_nor_a_web_server_nor_a_table_store_are_made() -> None:
    """F12, F14."""
    conf = new_app(settings(), KAFKA).conf
    assert (conf.topic_allow_declare, conf.topic_disable_leader, conf.web_enabled) == (False, True, False)
    assert str(conf.store) == "memory:"


def test_no_folder_is_made_where_the_process_was_started() -> None:
    folder = Path(new_app(settings(), KAFKA).conf.datadir)
    assert folder.is_relative_to(tempfile.gettempdir())
    assert not folder.is_relative_to(Path.cwd())


def test_sessions_commits_and_polls_are_as_measured() -> None:
    """F6, F9."""
    conf = new_app(settings(session_timeout_s=9), KAFKA).conf
    assert (conf.broker_session_timeout, conf.broker_heartbeat_interval) == (9, 3)
    assert 0.2 <= conf.broker_commit_interval <= 0.5
    assert conf.broker_max_poll_interval >= 24 * 3600


def test_every_broker_is_asked_first() -> None:
    assert [str(url) for url in new_app(settings(), KAFKA).conf.broker] == [
        "aiokafka://127.0.0.1:1",
        "aiokafka://localhost:2",
    ]


def test_keys_and_values_stay_bytes() -> None:
    """F5: a record that does not decode restarts a stock agent."""
    app = new_app(settings(), KAFKA)
    topic = raw_topic(app, EVENTS, 8)
    assert (app.conf.key_serializer, app.conf.value_serializer) == ("raw", "raw")
    assert (topic.key_serializer, topic.value_serializer, topic.allow_empty) == ("raw", "raw", True)


def test_credentials_are_handed_to_faust() -> None:
    kafka = KafkaSettings(
        bootstrap_servers="127.0.0.1:1",
        security_protocol="SASL_SSL",
        sasl_mechanism="SCRAM-SHA-512",
        sasl_username="worker",
        sasl_password=SecretStr("not-for-logs"),
    )
    credentials = new_app(settings(), kafka).conf.broker_credentials
    assert (credentials.username, credentials.password) == ("worker", "not-for-logs")
    assert credentials.ssl_context is not None
    assert "not-for-logs" not in repr(credentials)
    plain = kafka.model_copy(update={"security_protocol": "SASL_PLAINTEXT"})
    assert new_app(settings(), plain).conf.broker_credentials.ssl_context is None
    tls = KafkaSettings(bootstrap_servers="127.0.0.1:1", security_protocol="SSL")
    assert new_app(settings(), tls).conf.broker_credentials.protocol.value == "SSL"
    assert new_app(settings(), KAFKA).conf.broker_credentials is None
