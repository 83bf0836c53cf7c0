"""Which event types `hookline publish` knows: the built-in ones and, when they are asked for, organizations' own."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from producers.errors import BrokersAway
from producers.event_types import following_event_types
from producers.settings import KafkaSettings
from schemas.catalogue import BUILT_IN, Catalogue, UnknownEventType
from schemas.topics import EVENT_TYPES

_READ_WITHIN_S: Final = 5.0


@contextmanager
def catalogue_with(name: str | None, kafka: KafkaSettings) -> Iterator[Catalogue]:
    """Yield a catalogue that has the event type called `name`, or all of them for None: each line names its own.

    Own types are read from Kafka, which takes part of a second. Raises UnknownEventType when Kafka is away and the
    type is not built in; for None the built-in ones have to do then.
    """
    if name is not None and BUILT_IN.get(name) is not None:
        yield BUILT_IN
        return
    with ExitStack() as stack:
        try:
            found = stack.enter_context(following_event_types(kafka, timeout_s=_READ_WITHIN_S))
        except BrokersAway:
            if name is not None:
                detail = f"unknown event type {name[:60]!r} among the built-in ones, and {EVENT_TYPES} cannot be read"
                where = f"is Kafka at {kafka.bootstrap_servers}?"
                raise UnknownEventType(f"{detail}: {where}", pointer="/type") from None
            found = BUILT_IN
        yield found
