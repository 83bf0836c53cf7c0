"""`hookline doctor`: is everything there, and does it keep up?

Kafka and PostgreSQL are asked at once and every question has a limit: with both away it takes a few seconds.
"""

import asyncio
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Final, cast

from confluent_kafka import KafkaException
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from api.migrations import current_revision, head_revision
from api.projection.projector import GROUP
from api.projection.reading import Topics
from api.subscriptions.tables import SubscriptionRow
from compose.complaints import unfit_for_kafka
from compose.database import DatabaseError, asked, place_of
from compose.diagnosis import (
    Finding,
    Verdict,
    about_group,
    about_lag,
    about_outbox,
    about_overdue,
    about_projection,
    about_topics,
)
from compose.positions import ASK_TIMEOUT_S, backlogs_of, group_of, heads_of
from compose.topics import Brokers, TopicsError, existing_topics, topics_of
from processors.settings import WorkerSettings
from producers.outbox import outbox
from producers.secret_settings import UnfitSettings
from producers.settings import KafkaSettings
from schemas.sealing import SECRET_PURPOSE, SealingError
from schemas.topics import DELIVER, EVENTS, REPLAY, RETRY_PREFIX

WITHIN_S: Final = 12.0  # for all of it

_Newest = tuple[str, str, bytes]  # a subscription's id, its organization and its sealed secret


def examine(
    settings: WorkerSettings,
    kafka: KafkaSettings,
    database_url: str,
    *,
    projector_group: str = GROUP,
    within_s: float = WITHIN_S,
) -> list[Finding]:
    """Return every finding; what is away is a finding and raises nothing."""
    started = [
        ("kafka", *_in_background(_about_kafka(settings, kafka, projector_group))),
        ("database", *_in_background(_about_database(settings, database_url))),
    ]
    deadline = time.monotonic() + within_s
    findings: list[Finding] = []
    for name, thread, found in started:
        thread.join(max(0.0, deadline - time.monotonic()))
        findings += found
        if thread.is_alive():
            findings.append(Finding(name, Verdict.FAIL, f"not all answers came within {within_s:.0f} s", "try again"))
    return findings


def _in_background(findings: Iterator[Finding]) -> tuple[threading.Thread, list[Finding]]:
    found: list[Finding] = []

    def look() -> None:
        try:
            for finding in findings:
                found.append(finding)  # noqa: PERF402 - one by one: who has waited long enough takes what is there
        except Exception as error:  # noqa: BLE001 - the doctor's own bug: told as what it is, beside the rest
            found.append(Finding("doctor", Verdict.FAIL, f"{type(error).__name__}: {error}", "report this as a bug"))

    # A daemon: a server that stops in the middle of an answer must not keep the command from ending.
    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    return thread, found


def _about_kafka(settings: WorkerSettings, kafka: KafkaSettings, projector_group: str) -> Iterator[Finding]:
    declared = topics_of(settings)
    try:
        admin = Brokers(kafka)
        brokers = len(admin.list_topics(timeout=ASK_TIMEOUT_S).brokers)
        yield Finding("kafka", Verdict.OK, f"{brokers} broker(s) at {kafka.bootstrap_servers}")
        existing = existing_topics(admin, timeout_s=ASK_TIMEOUT_S)
        yield from about_topics(existing, declared)
        partitions = {name: topic.partitions for name, topic in existing.items()}
        worked: dict[str, int] = {name: partitions[name] for name in (EVENTS, DELIVER, REPLAY) if name in partitions}
        tiers = {name: count for name, count in partitions.items() if name.startswith(RETRY_PREFIX)}
        ours = {topic.name for topic in declared}
        for check, group, topics in (
            ("workers", settings.worker_group, worked),
            ("movers", settings.mover_group, {name: count for name, count in tiers.items() if name in ours}),
        ):
            owed = [(name, partition) for name, count in topics.items() for partition in range(count)]
            start = f"start `hookline {check.removesuffix('s')}`"
            yield about_group(check, group_of(admin, group), owed, start=start)
        yield from _about_backlogs(settings, kafka, worked, tiers)
        projected = {name: partitions[name] for name in Topics().names if name in partitions}
        yield from _about_projector(kafka, admin, projector_group, projected)
    except (KafkaException, TopicsError) as error:
        if (unfit := unfit_for_kafka(error)) is not None:
            yield Finding(
                "kafka", Verdict.FAIL, unfit, "set KAFKA_SASL_… and KAFKA_SSL_CA_LOCATION as the brokers want"
            )
            return
        said = f"{error.args[0].name()}: {error.args[0].str()}" if isinstance(error, KafkaException) else str(error)
        detail = f"{kafka.bootstrap_servers} does not answer ({said}); what depends on it was not checked"
        yield Finding("kafka", Verdict.FAIL, detail, "start Kafka, or set KAFKA_BOOTSTRAP_SERVERS")


def _about_backlogs(
    settings: WorkerSettings, kafka: KafkaSettings, worked: dict[str, int], tiers: dict[str, int]
) -> Iterator[Finding]:
    client = kafka.client_config()
    behind = backlogs_of(client, settings.worker_group, worked)
    waiting = backlogs_of(client, settings.mover_group, tiers)
    heads = heads_of(client, [*behind, *waiting])
    now = time.time()
    for topic in worked:
        yield about_lag(topic, behind, heads, now=now)
    yield about_overdue(waiting, heads, now=now)


def _about_projector(kafka: KafkaSettings, admin: Brokers, group: str, topics: dict[str, int]) -> Iterator[Finding]:
    owed = [(name, partition) for name, count in topics.items() for partition in range(count)]
    yield about_group("projectors", group_of(admin, group), owed, start="start `hookline projector`")
    client = kafka.client_config()
    behind = backlogs_of(client, group, topics)
    yield about_projection(behind, heads_of(client, behind), now=time.time())


def _about_database(settings: WorkerSettings, database_url: str) -> Iterator[Finding]:
    newest: _Newest | None = None
    try:
        current = asyncio.run(asked(database_url, current_revision))
        yield Finding("database", Verdict.OK, place_of(database_url))
        if current == head_revision():
            yield Finding("migrations", Verdict.OK, f"at {current}")
            rows, oldest, newest = asyncio.run(asked(database_url, _stock))
            yield about_outbox(rows, oldest)
        else:
            detail = f"at {current or 'nothing'}, this release has {head_revision()}"
            yield Finding("migrations", Verdict.FAIL, detail, "run `hookline db upgrade`")
    except DatabaseError as error:
        detail = f"{error}; what depends on it was not checked"
        yield Finding("database", Verdict.FAIL, detail, "start PostgreSQL, or set DATABASE_URL")
    yield _about_master_key(settings, newest)


async def _stock(connection: AsyncConnection) -> tuple[int, timedelta | None, _Newest | None]:
    waiting = select(func.count(), func.now() - func.min(outbox.c.created_at)).select_from(outbox)
    # An interval in PostgreSQL; SQLAlchemy takes the difference of two times for a time.
    rows, oldest = cast(tuple[int, timedelta | None], (await connection.execute(waiting)).one())
    row = SubscriptionRow
    newest = select(row.id, row.organization_id, row.secrets).order_by(row.id.desc()).limit(1)
    found = (await connection.execute(newest)).one_or_none()
    return rows, oldest, None if found is None else (found.id, found.organization_id, found.secrets[0])


def _about_master_key(settings: WorkerSettings, newest: _Newest | None) -> Finding:
    try:
        sealer = settings.sealer()
        sealed = sealer.seal(b"doctor", organization="org_doctor", row="sub_doctor", purpose="doctor")
        sealer.open(sealed, organization="org_doctor", row="sub_doctor", purpose="doctor")
        if newest is None:
            return Finding("master key", Verdict.OK, "seals and opens; there is no subscription to try it on")
        identifier, organization, secret = newest
        sealer.open(secret, organization=organization, row=identifier, purpose=SECRET_PURPOSE)
    except (UnfitSettings, SealingError) as error:
        do = "set HOOKLINE_MASTER_KEYS, or HOOKLINE_MASTER_KEYS_FILE, to the key that the API seals with"
        return Finding("master key", Verdict.FAIL, str(error), do)
    return Finding("master key", Verdict.OK, "opens the newest subscription's secret")
