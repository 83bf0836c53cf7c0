"""Events from the command line reach Kafka, and what does not is counted and named."""

import io
import json
import signal
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from compose.complaints import ExitCode
from compose.publishing import LONGEST_LINE, Counts, json_given, numbered
from compose.topics import apply_topics
from processors.settings import WorkerSettings
from producers.settings import KafkaSettings
from schemas.codec import decode, encode
from schemas.errors import InvalidInput
from schemas.ids import OrganizationId
from schemas.json_reading import parsed
from schemas.records import Event
from schemas.topics import DEFAULT_PARTITIONS, EVENT_TYPES, EVENTS
from tests.compose.shell import NOWHERE, hookline, hookline_here, started
from tests.producers.test_event_types import DEFINITION


@pytest.fixture
def topics(bootstrap: str) -> dict[str, str]:
    """Return the environment that names the run's Kafka, with all topics."""
    apply_topics(WorkerSettings.model_validate({}), KafkaSettings(bootstrap_servers=bootstrap))
    return {"KAFKA_BOOTSTRAP_SERVERS": bootstrap}


def events_of(bootstrap: str, organization: str, *, count: int) -> list[Event]:
    """Return the first `count` events of one organization that are on the topic."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": uuid4().hex, "enable.auto.commit": False})
    try:
        consumer.assign([TopicPartition(EVENTS, partition, 0) for partition in range(DEFAULT_PARTITIONS)])
        found: list[Event] = []
        deadline = time.monotonic() + 60
        while len(found) < count:
            assert time.monotonic() < deadline, f"{len(found)} of {count} events came"
            for message in consumer.consume(1000, timeout=0.1):  # it waits for so many, or for all of the time
                value = message.value()
                assert value is not None
                if (event := decode(Event, value)).organization_id == organization:
                    found.append(event)
        return found
    finally:
        consumer.close()


@pytest.mark.kafka
def test_an_event_is_on_kafka_when_its_id_is_printed(topics: dict[str, str], bootstrap: str) -> None:
    organization = f"org_{uuid4().hex}"
    ran = hookline(
        "publish", "user.updated", "--data", '{"id": "u1"}', "--previous", '{"id": "u0"}', "--metadata", '{"a": 1}',
        "--key", "u1", "--id", "mine", "--organization", organization, "--json", **topics,
    )  # fmt: skip
    assert ran.code == 0
    assert ran.err == ""
    [event] = events_of(bootstrap, organization, count=1)
    assert json.loads(ran.out) == {"id": event.id, "type": "user.updated", "organization_id": organization}
    assert (event.key, event.source_id, event.previous, event.metadata) == ("u1", "mine", b'{"id":"u0"}', b'{"a":1}')


@pytest.mark.kafka
def test_a_line_that_does_not_hold_is_named_and_stops_nobody(topics: dict[str, str], bootstrap: str) -> None:
    organization = f"org_{uuid4().hex}"
    lines = ['{"id": "a"}', "", "not JSON", '{"id": 7}', "[" * 900 + "]" * 900, "[]", '{"id": "b"}\r', '{"id": "c"}']
    ran = hookline(
        "publish", "user.created", "--data", "-", "--organization", organization, "--json", stdin="\n".join(lines),
        **topics,
    )  # fmt: skip
    assert ran.code == ExitCode.FAILED
    assert {event.data for event in events_of(bootstrap, organization, count=3)} == {
        b'{"id":"a"}', b'{"id":"b"}', b'{"id":"c"}',
    }  # fmt: skip
    assert sorted(json.loads(line)["line"] for line in ran.out.splitlines()) == [1, 7, 8]
    problems = ran.err.splitlines()
    assert [line.partition(":")[0] for line in problems] == ["line 3", "line 4", "line 5", "line 6", "hookline"]
    assert "/data/id: must be a string" in problems[1]
    assert problems[-1] == "hookline: Kafka has 3 of 7 events; lines that do not hold: 4"


@pytest.mark.kafka
def test_many_lines_arrive_in_their_order_when_they_have_one_key(topics: dict[str, str], bootstrap: str) -> None:
    organization = f"org_{uuid4().hex}"
    lines = "\n".join(json.dumps({"n": number}) for number in range(3000))
    ran = hookline(
        "publish", "hookline.test", "--data", "-", "--organization", organization, "--key", "k", stdin=lines, **topics
    )
    assert (ran.code, ran.out, ran.err) == (0, "", "hookline: Kafka has 3,000 of 3,000 events\n")
    events = events_of(bootstrap, organization, count=3000)
    assert [json.loads(event.data)["n"] for event in events] == list(range(3000))


@pytest.mark.kafka
def test_ctrl_c_says_how_many_kafka_has(topics: dict[str, str]) -> None:
    arguments = ("publish", "hookline.test", "--data", "-", "--json")
    with started(*arguments, **topics, PYTHONUNBUFFERED="1") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b'{"n": 1}\n')
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["line"] == 1  # Kafka has it
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
        assert process.returncode == ExitCode.INTERRUPTED
        assert err.decode() == "hookline: interrupted: Kafka has 1 of 1 events\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("user.created", "--data", '{"id": 7}'), "/data/id: must be a string, not a number"),
        (("user.created", "--data", '{"id": "a", "x": 1}'), "/data/x: "),
        (("user.created", "--data", "[1]"), "/data: must be a JSON object"),
        (("user.created", "--data", '{"id"'), "--data: is not JSON: "),
        (("user.created", "--data", "@/no/such/file"), "--data: cannot read /no/such/file: No such file"),
        (("user.created", "--data", '{"id": "a"}', "--metadata", "1"), "/metadata: must be a JSON object or null"),
        (("user.created", "--data", '{"id": "a"}', "--previous", "{"), "--previous: is not JSON: "),
        (("user.created", "--data", '{"id": "a"}', "--organization", "a b"), "/organization_id: "),
        (("no.such.type", "--data", "{}"), "/type: unknown event type"),
        (("hookline.test", "--data", "{}", "--key", ""), "/key: "),
        (("hookline.test", "--data", '{"order": 12345678901234567890123}'), "/data/order: is beyond 64 bits"),
    ],
)
def test_an_event_that_does_not_hold_is_refused_with_a_pointer(arguments: tuple[str, ...], says: str) -> None:
    ran = hookline_here("publish", *arguments, KAFKA_BOOTSTRAP_SERVERS=NOWHERE)
    assert ran.code == ExitCode.FAILED
    assert ran.complaint.startswith(f"hookline: {says}")


@pytest.mark.slow
def test_kafka_away_is_said_within_ten_seconds_and_where() -> None:
    ran = hookline("publish", "hookline.test", "--data", "{}", KAFKA_BOOTSTRAP_SERVERS=NOWHERE)
    assert ran.code == ExitCode.FAILED
    assert NOWHERE in ran.complaint


@pytest.mark.slow
def test_kafka_away_ends_a_stream_and_counts_it() -> None:
    ran = hookline("publish", "hookline.test", "--data", "-", stdin="{}\n" * 500, KAFKA_BOOTSTRAP_SERVERS=NOWHERE)
    assert ran.code == ExitCode.FAILED
    assert ran.complaint.endswith(": Kafka has 0 of 500 events; 500 failed")


def test_a_file_and_an_argument_give_the_same(tmp_path: Path) -> None:
    file = tmp_path / "data.json"
    file.write_text('{"id": "ü"}\n')
    assert json_given(f"@{file}", option="--data") == json_given('{"id": "ü"}', option="--data") == {"id": "ü"}


def test_what_is_not_json_is_not_repeated() -> None:
    with pytest.raises(InvalidInput) as raised:
        parsed(b'{"password": "hunter2')
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("raw", "lines"),
    [
        (b"", []),
        (b"a", [(1, b"a")]),
        (b"a\n\n \nb\n", [(1, b"a\n"), (4, b"b\n")]),
        (b"x" * LONGEST_LINE + b"\nb", [(1, b"x" * LONGEST_LINE + b"\n"), (2, b"b")]),
        (b"x" * (LONGEST_LINE + 1) + b"\nb", [(1, None), (2, b"b")]),
        (b"x" * (3 * LONGEST_LINE) + b"\nb", [(1, None), (2, b"b")]),
        (b"x" * (3 * LONGEST_LINE), [(1, None)]),
    ],
)
def test_lines_are_numbered_and_none_is_held_that_is_too_long(
    raw: bytes, lines: list[tuple[int, bytes | None]]
) -> None:
    assert list(numbered(io.BytesIO(raw))) == lines


@pytest.mark.parametrize(
    ("counts", "text", "whole"),
    [
        (Counts(read=2, published=2), "Kafka has 2 of 2 events", True),
        (Counts(), "Kafka has 0 of 0 events", True),
        (Counts(read=3, published=1, failed=1, rejected=1),
         "Kafka has 1 of 3 events; lines that do not hold: 1; 1 failed", False),
        (Counts(read=3, published=1), "Kafka has 1 of 3 events; 2 may still arrive", False),
        (Counts(read=1, published=1, stopped_by="interrupted"), "Kafka has 1 of 1 events", False),
    ],
)  # fmt: skip
def test_counts_say_what_is_known(counts: Counts, text: str, whole: bool) -> None:
    assert str(counts) == text
    assert counts.all_published is whole


@pytest.mark.kafka
def test_a_file_of_events_is_published_and_its_bad_lines_are_named(
    topics: dict[str, str], bootstrap: str, tmp_path: Path
) -> None:
    organization = f"org_{uuid4().hex}"
    cloud = {"specversion": "1.0", "id": "1", "source": "/s", "type": "user.created", "data": {"id": "c"}}
    lines: list[object] = [
        {"type": "user.created", "data": {"id": "a"}, "key": "a", "id": "mine"},
        {"type": "user.created"},
        {"type": "user.created", "data": {}, "unknown": 1},
        {"type": 5, "data": {}},
        5,
        {**cloud, "time": "now"},
        {**cloud, "time": datetime.now(UTC).isoformat()},
        cloud,
        cloud,
    ]
    file = tmp_path / "events.ndjson"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    ran = hookline("publish", "--file", str(file), "--organization", organization, "--json", **topics)
    assert ran.code == ExitCode.FAILED
    problems = [line.split(": ")[:2] for line in ran.err.splitlines()]
    assert problems[:-1] == [
        ["line 2", "/data"], ["line 3", "/unknown"], ["line 4", "/type"],
        ["line 5", "must be a JSON object with type and data, or a CloudEvent"], ["line 6", "/time"],
    ]  # fmt: skip
    assert ran.err.splitlines()[-1] == "hookline: Kafka has 4 of 9 events; lines that do not hold: 5"
    ids = {line["line"]: line["id"] for line in map(json.loads, ran.out.splitlines())}
    assert ids[8] == ids[9] != ids[7]  # one source, one id: one event, however often it is sent
    events = {event.id: event for event in events_of(bootstrap, organization, count=4)}
    assert {events[ids[number]].source_id for number in (7, 8)} == {"1"}
    assert (events[ids[1]].key, events[ids[1]].source_id) == ("a", "mine")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--file", "events.ndjson"), 1, "cannot read"),
        (("user.created", "--file", "x"), 2, "TYPE does not go with it"),
        (("--file", "x", "--key", "k"), 2, "--key does not go with it"),
        (("user.created",), 2, "--data"),
        (("--data", "{}"), 2, "TYPE"),
    ],
)
def test_what_does_not_go_together_is_said(arguments: tuple[str, ...], code: int, words: str) -> None:
    ran = hookline_here("publish", *arguments, KAFKA_BOOTSTRAP_SERVERS=NOWHERE)
    assert ran.code == code
    assert words in ran.err


@pytest.mark.kafka
def test_an_organizations_own_type_is_published_as_its_topic_defines_it(topics: dict[str, str], bootstrap: str) -> None:
    organization = f"org_{uuid4().hex}"
    definition = replace(DEFINITION, organization_id=OrganizationId(organization))
    producer = Producer({"bootstrap.servers": bootstrap})
    producer.produce(EVENT_TYPES, encode(definition), f"{organization}/{definition.name}")
    assert producer.flush(30) == 0
    given = ("publish", definition.name, "--organization", organization, "--data")
    assert hookline(*given, '{"id": "x"}', **topics).code == ExitCode.OK
    refused = hookline(*given, "{}", **topics)
    assert refused.complaint.startswith("hookline: /data/id: is missing")
