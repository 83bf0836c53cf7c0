"""What a service in any language wrote as a JSON CloudEvent becomes our event: the log has one shape.

Both are on Kafka when the record is acked. One that is read twice, or was sent twice, becomes an event of one id, and
so deliveries of one id (schemas/ids.py, `event_id_of`).
"""

from collections.abc import Hashable
from dataclasses import replace
from typing import Final

from processors.event_types import EventChecks
from processors.intake import Taken
from processors.metrics import CLOUDEVENTS_CONVERTED, RECORDS_QUARANTINED
from processors.quarantining import quarantined
from producers.handover import LoopProducer
from producers.publisher import event_record
from producers.records import Outgoing
from schemas.catalogue import BUILT_IN, Catalogue
from schemas.cloudevents.headers import IN_KAFKA, from_kafka
from schemas.cloudevents.mapping import ORGANIZATION, event_of, traceparent_of
from schemas.envelope import LONGEST_KEY
from schemas.errors import InvalidInput
from schemas.headers import traceparent_in
from schemas.ids import append_time_of, event_id_of

STAGE: Final = "convert"
_ORGANIZATION_HEADER: Final = IN_KAFKA + ORGANIZATION


def turn_of(taken: Taken) -> Hashable:
    """Return whose turn a record takes: its partition's and, in binary mode, its organization's.

    What one service writes about one key is in one partition and one mode, so it keeps its order.
    """
    for name, value in taken.headers:
        if name == _ORGANIZATION_HEADER:
            return taken.position.partition, value
    return taken.position.partition, b""


def converted(taken: Taken, *, catalogue: Catalogue = BUILT_IN) -> Outgoing:
    """Return the record of the event that a CloudEvent makes; raises InvalidInput.

    Events of one key are in one partition of `hookline.events`, whatever partitioner the service has. The key is
    `partitionkey`, else `subject`, else the record's own.
    """
    cloud = from_kafka(taken.headers, taken.value)
    appended_at = append_time_of(round(taken.timestamp_s * 1000))
    event = event_of(cloud, other_key=_text_of(taken.key), created_at=appended_at, catalogue=catalogue)
    event_id = event_id_of(event.organization_id, cloud.source, cloud.id, said_at=cloud.time, appended_at=appended_at)
    traceparent = traceparent_in(taken.headers) or traceparent_of(cloud)
    return event_record(replace(event, id=event_id), source=cloud.source, traceparent=traceparent)


class Converter:
    """Converts one record at a time; as many run at once as the intake lets."""

    def __init__(self, producer: LoopProducer, *, checks: EventChecks | None = None) -> None:
        """Begin; without `checks` only the built-in event types are known."""
        self._producer = producer
        self._checks = checks

    async def convert(self, taken: Taken) -> None:
        """Publish the event that the record in `taken` is, or quarantine it; return when the brokers have it."""
        try:
            record = await self._converted(taken)
        except InvalidInput as error:
            record = quarantined(taken.position, taken.key, taken.value, taken.headers, error=error, stage=STAGE)
            await self._producer.send([record])
            RECORDS_QUARANTINED.labels(stage=STAGE).inc()
            return
        await self._producer.send([record])
        CLOUDEVENTS_CONVERTED.inc()

    async def _converted(self, taken: Taken) -> Outgoing:
        if self._checks is None:
            return converted(taken)
        catalogue = self._checks.catalogue
        return await self._checks.decided(turn_of(taken), lambda: converted(taken, catalogue=catalogue))


def _text_of(key: bytes | None) -> str | None:
    """Return a record's key as text; None for what cannot order events: none, binary, too long."""
    if not key:
        return None
    try:
        text = key.decode()
    except UnicodeDecodeError:
        return None
    return text if len(text) <= LONGEST_KEY and "\x00" not in text else None
