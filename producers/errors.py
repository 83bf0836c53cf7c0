"""What can go wrong between a publisher and the brokers."""

from schemas.errors import HooklineError


class ProducingError(HooklineError):
    """A record did not reach the brokers, as far as we know. It may still be there: publish again with the same id."""


class BrokersAway(ProducingError):
    """No broker took the record in time."""


class QueueFull(ProducingError):
    """More records wait for the brokers than the producer may hold: the caller is faster than Kafka."""


class ProducerClosed(ProducingError):
    """The producer was closed; nothing can be published with it."""
