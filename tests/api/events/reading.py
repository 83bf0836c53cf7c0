"""What came to the events topic."""

from confluent_kafka import Consumer, Message

from schemas.codec import decode
from schemas.records import Event


def next_of(consumer: Consumer) -> tuple[Event, Message]:
    """Return the next event and its message."""
    message = consumer.poll(10)
    assert message is not None
    assert message.error() is None
    return decode(Event, message.value()), message
