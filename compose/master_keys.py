"""`hookline keys`: by which master keys values are sealed, and sealing them all with the newest.

It asks PostgreSQL and Kafka itself, as `hookline doctor` does, and works beside everything that runs.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from api.database import engine_of, transaction_of
from api.resealing.batches import NOWHERE, Batch, Place, reseal_answers, reseal_signing_keys, reseal_subscriptions
from api.resealing.counting import Sealed, key_ids_in_record, left_to_reseal, sealed_by
from api.settings import ApiSettings
from compose.database import translated
from producers.settings import KafkaSettings
from schemas.errors import HooklineError
from schemas.sealing import Sealer
from schemas.topics import SUBSCRIPTIONS

_BATCH: Final = 20  # rows a transaction: some milliseconds in which nobody else can change them
_ASK_TIMEOUT_S: Final = 5.0
_READ_WITHIN_S: Final = 60.0
_SETTLE_WITHIN_S: Final = 30.0  # for the relay to send what was written last
_LOOK_EVERY_S: Final = 0.2


class KeysError(HooklineError):
    """What the keys are used for could not be found out."""


@dataclass(frozen=True, slots=True)
class KeyUse:
    """How often a master key is needed; `is_here`: it is among HOOKLINE_MASTER_KEYS."""

    id: str
    is_current: bool
    is_here: bool
    subscriptions: int
    answers: int
    signing_keys: int
    outbox: int
    topic: int

    @property
    def uses(self) -> int:
        """How many values are sealed with it, in the database and in the newest record of each subscription."""
        return self.subscriptions + self.answers + self.signing_keys + self.outbox + self.topic

    @property
    def may_be_dropped(self) -> bool:
        """Whether nothing needs it any more."""
        return not self.is_current and self.uses == 0

    def as_json(self) -> dict[str, Any]:
        """Return it as `--json` prints it."""
        names = (
            "id",
            "is_current",
            "is_here",
            "subscriptions",
            "answers",
            "signing_keys",
            "outbox",
            "topic",
            "may_be_dropped",
        )
        return {name: getattr(self, name) for name in names}


@dataclass(slots=True)
class Resealed:
    """How far a run is: of about `total` rows so many are done, and some do not open with the keys that are here."""

    total: int
    done: int = 0
    unopened: tuple[str, ...] = ()


class MasterKeys:
    """What the master keys of a command are used for. Settings are the API's and Kafka's."""

    def __init__(self, database_url: str, kafka: KafkaSettings, sealer: Sealer) -> None:
        self._database_url = database_url
        self._settings = ApiSettings().model_copy(update={"database_url": database_url, "database_connections": 2})
        self._kafka = kafka
        self.sealer = sealer

    def uses(self) -> list[KeyUse]:
        """Return each key that is here or needed.

        Raises KeysError, DatabaseError or DatabaseAway when one side cannot be asked.
        """

        async def sealed() -> Sealed:
            engine = engine_of(self._settings)
            try:
                async with transaction_of(engine) as db:
                    return await sealed_by(db)
            finally:
                await engine.dispose()

        return _uses(self.sealer, asyncio.run(translated(self._database_url, sealed)), sealed_on_topic(self._kafka))

    def reseal(self, *, rows_per_s: float, tell: Callable[[Resealed], None]) -> Resealed:
        """Seal every value with the current key, at most so many rows a second; `tell` hears of each batch.

        What another run did, or this one before it was killed, is not done again. What other processes seal with an
        older key meanwhile is found in a next pass. Raises DatabaseError and DatabaseAway.
        """
        return asyncio.run(translated(self._database_url, lambda: self._reseal(rows_per_s, tell)))

    def uses_when_settled(self) -> list[KeyUse]:
        """Return the same as `uses` once the relay has sent what waits in the outbox, or after half a minute."""
        deadline = time.monotonic() + _SETTLE_WITHIN_S
        while True:
            uses = self.uses()
            waiting = any(use.outbox + use.topic for use in uses if use.is_here and not use.is_current)
            if not waiting or time.monotonic() > deadline:
                return uses
            time.sleep(_LOOK_EVERY_S)

    async def _reseal(self, rows_per_s: float, tell: Callable[[Resealed], None]) -> Resealed:
        engine = engine_of(self._settings)
        try:
            async with transaction_of(engine) as db:
                progress = Resealed(await left_to_reseal(db, self.sealer))
            tell(progress)
            for reseal in (reseal_subscriptions, reseal_answers, reseal_signing_keys):
                after: Place | None = NOWHERE
                while after is not None:
                    began = time.monotonic()
                    async with transaction_of(engine) as db:
                        batch: Batch = await reseal(db, self.sealer, after=after, limit=_BATCH)
                    after = batch.last
                    progress.done += batch.resealed
                    progress.unopened += batch.unopened
                    tell(progress)
                    if after is not None:
                        await asyncio.sleep(max(0.0, began + _BATCH / rows_per_s - time.monotonic()))
            return progress
        finally:
            await engine.dispose()


def sealed_on_topic(kafka: KafkaSettings) -> Counter[str]:
    """Return how many values each key sealed of the newest record of each subscription; raises KeysError.

    Older records of a subscription lie on the topic until it is compacted. Nobody opens them: a worker reads the topic
    to its end before it sends anything.
    """
    settings = {"group.id": f"hookline-keys-{uuid4().hex}", "enable.auto.commit": False}
    consumer = Consumer({**kafka.client_config(), **settings})
    try:
        newest = _newest_records(consumer)
    except KafkaException as error:
        raise KeysError(f"Kafka at {kafka.bootstrap_servers} does not answer: {error.args[0].str()}") from error
    finally:
        consumer.close()
    return Counter(key_id for value in newest.values() for key_id in key_ids_in_record(value))


def _newest_records(consumer: Consumer) -> dict[bytes, bytes]:
    topic = consumer.list_topics(SUBSCRIPTIONS, timeout=_ASK_TIMEOUT_S).topics[SUBSCRIPTIONS]
    places = [TopicPartition(SUBSCRIPTIONS, each, OFFSET_BEGINNING) for each in topic.partitions]
    if not places:
        raise KeysError(f"{SUBSCRIPTIONS} is not there: hookline topics apply")
    marks = {each.partition: consumer.get_watermark_offsets(each, timeout=_ASK_TIMEOUT_S) for each in places}
    ends = {partition: high for partition, (low, high) in marks.items() if low < high}
    consumer.assign(places)
    newest: dict[bytes, bytes] = {}
    deadline = time.monotonic() + _READ_WITHIN_S
    while any(place.offset < ends.get(place.partition, place.offset) for place in consumer.position(places)):
        if time.monotonic() > deadline:
            raise KeysError(f"{SUBSCRIPTIONS} was not read to its end within {_READ_WITHIN_S:.0f} s; try again")
        for message in consumer.consume(1000, timeout=0.1):
            if message.error() is not None:
                continue
            key, value = message.key() or b"", message.value()
            newest.pop(key, None)
            if value is not None:
                newest[key] = value
    return newest


def _uses(sealer: Sealer, sealed: Sealed, topic: Counter[str]) -> list[KeyUse]:
    counted = (sealed.subscriptions, sealed.answers, sealed.signing_keys, sealed.outbox, topic)
    needed = set().union(*counted)
    ids = [*sealer.key_ids, *sorted(needed - set(sealer.key_ids))]
    return [
        KeyUse(
            id=key_id,
            is_current=key_id == sealer.current,
            is_here=key_id in sealer.key_ids,
            subscriptions=sealed.subscriptions[key_id],
            answers=sealed.answers[key_id],
            signing_keys=sealed.signing_keys[key_id],
            outbox=sealed.outbox[key_id],
            topic=topic[key_id],
        )
        for key_id in ids
    ]
