"""The doctor: verdicts as tables, and the command against real servers, missing ones and one that hangs."""

import asyncio
import json
import socket
import time
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from compose.complaints import ExitCode
from compose.database import upgrade_database
from compose.diagnosis import (
    BEHIND_AFTER,
    LOG_BEHIND_AFTER,
    OUTBOX_OLD_AFTER,
    OVERDUE_AFTER,
    Finding,
    Verdict,
    about_group,
    about_lag,
    about_outbox,
    about_overdue,
    about_projection,
    about_topics,
)
from compose.doctor import examine
from compose.positions import Backlog, Group, Head, backlogs_of, group_of, heads_of
from compose.topics import Brokers, ExistingTopic, apply_topics
from processors.settings import WorkerSettings
from producers.settings import KafkaSettings
from schemas.headers import DUE_AT, microseconds_of
from schemas.sealing import SECRET_PURPOSE, new_master_key, sealer_of
from schemas.topics import DELIVER, EVENTS, declared_topics, retry_topic
from tests.compose.shell import MASTER_KEYS, NO_DATABASE, NOWHERE, hookline
from tests.machine import SLOW_MACHINE_S

NOW = 1_800_000_000.0
DECLARED = declared_topics([timedelta(seconds=1)])
OWED = [(EVENTS, 0), (EVENTS, 1), (DELIVER, 0)]
S = timedelta(seconds=1)


def present(**changes: object) -> dict[str, ExistingTopic]:
    given = {"partitions": 8, "leaderless": 0, **changes}
    return {
        topic.name: ExistingTopic(
            topic.name, int(str(given["partitions"])), 1, topic.config, leaderless=int(str(given["leaderless"]))
        )
        for topic in DECLARED
    }


def verdicts(existing: dict[str, ExistingTopic]) -> list[Verdict]:
    return [finding.verdict for finding in about_topics(existing, DECLARED)]


def test_topics_as_declared_are_one_finding_and_each_other_one_has_its_own() -> None:
    assert verdicts(present()) == [Verdict.OK]
    assert verdicts({}) == [Verdict.FAIL] * len(DECLARED)
    assert verdicts(present(partitions=7)) == [Verdict.FAIL] * len(DECLARED)
    assert verdicts(present(leaderless=1)) == [Verdict.FAIL] * len(DECLARED)
    altered = {**present(), EVENTS: ExistingTopic(EVENTS, 8, 1, {**DECLARED[0].config, "retention.ms": "1"})}
    assert verdicts(altered) == [Verdict.WARN]


@pytest.mark.parametrize(
    ("group", "verdict"),
    [
        (Group(0, frozenset(), settled=True), Verdict.FAIL),
        (Group(2, frozenset(OWED), settled=True), Verdict.OK),
        (Group(1, frozenset([*OWED, ("other", 9)]), settled=True), Verdict.OK),
        (Group(1, frozenset(OWED[:2]), settled=True), Verdict.FAIL),  # FAUST.md, F17: a topic that nobody holds
        (Group(2, frozenset(), settled=False), Verdict.WARN),
    ],
)
def test_every_partition_must_have_a_member(group: Group, verdict: Verdict) -> None:
    assert about_group("workers", group, OWED, start="start one").verdict is verdict


@pytest.mark.parametrize(
    ("waits", "verdict"),
    [(timedelta(0), Verdict.OK), (BEHIND_AFTER, Verdict.OK), (BEHIND_AFTER + S, Verdict.WARN)],
)
def test_records_that_nobody_acknowledged_for_long_are_a_warning(waits: timedelta, verdict: Verdict) -> None:
    backlogs = [Backlog(EVENTS, 0, 5, 7), Backlog(EVENTS, 1, 9, 9), Backlog(DELIVER, 0, 0, 100)]
    heads = {(EVENTS, 0): Head(NOW - waits.total_seconds(), None), (DELIVER, 0): Head(0, None)}
    finding = about_lag(EVENTS, backlogs, heads, now=NOW)
    assert finding.verdict is verdict
    assert finding.detail.startswith("2 records")


def test_a_topic_without_a_backlog_has_no_lag() -> None:
    assert about_lag(EVENTS, [Backlog(EVENTS, 0, 5, 5)], {}, now=NOW).detail == "nothing waits"


@pytest.mark.parametrize(("waits", "verdict"), [(LOG_BEHIND_AFTER, Verdict.OK), (LOG_BEHIND_AFTER + S, Verdict.FAIL)])
def test_a_log_that_is_behind_for_long_fails(waits: timedelta, verdict: Verdict) -> None:
    heads = {(EVENTS, 0): Head(NOW - waits.total_seconds(), None)}
    finding = about_projection([Backlog(EVENTS, 0, 5, 7), Backlog(DELIVER, 0, 9, 9)], heads, now=NOW)
    assert finding.verdict is verdict
    assert finding.detail.startswith("2 records")
    assert about_projection([Backlog(DELIVER, 0, 9, 9)], {}, now=NOW).detail == "complete"


@pytest.mark.parametrize(
    ("due_in", "verdict"),
    [
        (timedelta(hours=20), Verdict.OK),  # it waits on purpose
        (-OVERDUE_AFTER, Verdict.OK),
        (-OVERDUE_AFTER - S, Verdict.FAIL),
        (None, Verdict.OK),  # somebody else's record: the mover quarantines it
    ],
)
def test_only_what_is_past_its_due_time_is_overdue(due_in: timedelta | None, verdict: Verdict) -> None:
    tier = "hookline.retry.24h"
    due_at = None if due_in is None else NOW + due_in.total_seconds()
    backlogs = [Backlog(tier, 0, 0, 1000), Backlog(tier, 1, 4, 4)]
    assert about_overdue(backlogs, {(tier, 0): Head(0, due_at)}, now=NOW).verdict is verdict


@pytest.mark.parametrize(
    ("rows", "oldest", "verdict"),
    [(0, None, Verdict.OK), (5, OUTBOX_OLD_AFTER, Verdict.OK), (1, OUTBOX_OLD_AFTER + S, Verdict.FAIL)],
)
def test_an_outbox_that_nobody_relays_fails(rows: int, oldest: timedelta | None, verdict: Verdict) -> None:
    assert about_outbox(rows, oldest).verdict is verdict


def test_whatever_is_not_ok_says_what_to_do() -> None:
    findings = [
        *about_topics({}, DECLARED),
        *about_topics(present(partitions=7), DECLARED),
        about_group("workers", Group(1, frozenset(), settled=True), OWED, start="start one"),
        about_outbox(1, timedelta(days=1)),
    ]
    assert all(finding.do for finding in findings if finding.verdict is not Verdict.OK)


def settings_of(**others: object) -> WorkerSettings:
    return WorkerSettings.model_validate({"master_keys": MASTER_KEYS, **others})


def by_check(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.check: finding for finding in findings}


@pytest.mark.slow
def test_with_everything_away_it_says_so_soon() -> None:
    began = time.monotonic()
    ran = hookline("doctor", "--json", KAFKA_BOOTSTRAP_SERVERS=NOWHERE, DATABASE_URL=NO_DATABASE)
    assert time.monotonic() - began < 15 + SLOW_MACHINE_S
    assert ran.code == ExitCode.UNHEALTHY
    told = json.loads(ran.out)
    assert told["healthy"] is False
    assert {each["check"]: each["verdict"] for each in told["findings"]} == {
        "kafka": "fail", "database": "fail", "master key": "fail",
    }  # fmt: skip
    assert "password-of-the-database" not in ran.out + ran.err


def test_settings_that_kafkas_client_refuses_are_no_bug_of_the_doctor() -> None:
    kafka = KafkaSettings(bootstrap_servers="127.0.0.1:1", security_protocol="SASL_SSL")
    found = by_check(examine(settings_of(), kafka, NO_DATABASE))
    assert "doctor" not in found
    assert "sasl.username and sasl.password must be set" in found["kafka"].detail
    assert "KAFKA_SASL_" in found["kafka"].do


@pytest.mark.slow
def test_servers_that_take_connections_and_never_answer_do_not_hold_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        host, port = mute.getsockname()
        kafka = KafkaSettings(bootstrap_servers=f"{host}:{port}")
        began = time.monotonic()
        found = by_check(examine(settings_of(), kafka, f"postgresql://me@{host}:{port}/x", within_s=8))
        assert time.monotonic() - began < 8 + SLOW_MACHINE_S
    assert (found["kafka"].verdict, found["database"].verdict) == (Verdict.FAIL, Verdict.FAIL)


@pytest.mark.kafka
@pytest.mark.postgres
def test_finds_what_is_missing_one_by_one(bootstrap: str, database_url: str) -> None:
    groups = {"worker_group": f"w-{uuid4().hex}", "mover_group": f"m-{uuid4().hex}"}
    settings = settings_of(retry_waits=f"{uuid4().int % 500_000 + 1000}ms", **groups)
    kafka = KafkaSettings(bootstrap_servers=bootstrap)
    tier = retry_topic(settings.retry_waits.waits[0])
    projectors = f"p-{uuid4().hex}"
    missing = examine(settings, kafka, database_url)
    assert f"{tier} is missing" in [finding.detail for finding in missing]
    assert by_check(missing)["migrations"].do == "run `hookline db upgrade`"

    apply_topics(settings, kafka)
    upgrade_database(database_url)
    found = by_check(examine(settings, kafka, database_url, projector_group=projectors))
    healthy = ("kafka", "topics", "database", "migrations", "outbox", "master key")
    assert [found[check] for check in healthy if found[check].verdict is not Verdict.OK] == []
    assert found["projectors"].do == "start `hookline projector`"
    assert (found["workers"].do, found["movers"].do) == ("start `hookline worker`", "start `hookline mover`")

    # Tiers of other schedules count too: due before whatever another test has left in one.
    produce(bootstrap, tier, due_at=datetime(1999, 1, 1, tzinfo=UTC))
    try:
        overdue = by_check(examine(settings, kafka, database_url))["overdue"]
    finally:
        brokers = Brokers(kafka)  # held: its answers end with it
        brokers.delete_topics([tier])[tier].result(20)
    assert overdue.verdict is Verdict.FAIL
    assert overdue.detail.startswith(f"a record of {tier} ")


@pytest.mark.postgres
@pytest.mark.kafka
def test_a_master_key_that_is_not_the_apis_is_found(bootstrap: str, database_url: str) -> None:
    upgrade_database(database_url)

    async def insert() -> None:
        connection = await asyncpg.connect(database_url)
        sealed = sealer_of(MASTER_KEYS).seal(b"s" * 24, organization="org_1", row="sub_1", purpose=SECRET_PURPOSE)
        columns = await connection.fetch(
            "SELECT column_name, data_type FROM information_schema.columns"
            " WHERE table_name = 'subscriptions' AND is_nullable = 'NO' AND column_default IS NULL"
        )
        values = {"id": "sub_1", "organization_id": "org_1", "secrets": [sealed]}
        blanks: dict[str, object] = {
            "text": "x", "character varying": "x", "integer": 1, "bigint": 1, "boolean": True, "ARRAY": [],
            "timestamp with time zone": datetime.now(UTC), "jsonb": "{}",
        }  # fmt: skip
        row = {name: values.get(name, blanks[kind]) for name, kind in columns}
        names, places = ", ".join(row), ", ".join(f"${index + 1}" for index in range(len(row)))
        await connection.execute(f"INSERT INTO subscriptions ({names}) VALUES ({places})", *row.values())
        await connection.close()

    asyncio.run(insert())
    kafka = KafkaSettings(bootstrap_servers=NOWHERE)
    assert "opens the newest" in by_check(examine(settings_of(), kafka, database_url))["master key"].detail
    other = by_check(examine(settings_of(master_keys=new_master_key()), kafka, database_url))["master key"]
    assert other.verdict is Verdict.FAIL


@pytest.mark.kafka
def test_positions_are_read_without_joining_the_group(bootstrap: str) -> None:
    kafka, group = KafkaSettings(bootstrap_servers=bootstrap), f"g-{uuid4().hex}"
    settings = settings_of(retry_waits=f"{uuid4().int % 500_000 + 1000}ms")
    apply_topics(settings, kafka)
    tier = retry_topic(settings.retry_waits.waits[0])
    due_at = datetime(2030, 1, 1, tzinfo=UTC)
    for _ in range(3):
        produce(bootstrap, tier, due_at=due_at)
    client = kafka.client_config()
    assert sum(backlog.records for backlog in backlogs_of(client, group, {tier: 8})) == 3
    consumer = Consumer({**client, "group.id": group})
    consumer.commit(offsets=[TopicPartition(tier, 2, 2)], asynchronous=False)
    consumer.close()
    backlogs = backlogs_of(client, group, {tier: 8})
    assert [backlog for backlog in backlogs if backlog.records] == [Backlog(tier, 2, 2, 3)]
    assert heads_of(client, backlogs)[tier, 2].due_at == due_at.timestamp()
    assert group_of(Brokers(kafka), group).members == 0
    assert group_of(Brokers(kafka), "no-such-group").members == 0


def produce(bootstrap: str, topic: str, *, due_at: datetime) -> None:
    producer = Producer({"bootstrap.servers": bootstrap})
    producer.produce(topic, b"no delivery", partition=2, headers=[(DUE_AT, str(microseconds_of(due_at)).encode())])
    assert producer.flush(20) == 0
