"""The gates of all subscriptions that a worker sends to, shared by its dispatchers."""

from collections.abc import Callable

from processors.lanes.breaker import BreakerSettings
from processors.lanes.gate import Gate
from schemas.ids import SubscriptionId


class Gates:
    """A gate for each subscription while something is known of it."""

    def __init__(self, breaker: BreakerSettings) -> None:
        self._breaker = breaker
        self._gates: dict[SubscriptionId, Gate] = {}
        self._waiting: dict[SubscriptionId, list[Callable[[], None]]] = {}

    def take(self, subscription_id: SubscriptionId) -> Gate:
        """Return a subscription's gate for one more lane, which lets go of it in the end."""
        gate = self._gates.get(subscription_id)
        if gate is None:
            gate = self._gates[subscription_id] = Gate(self._breaker)
        gate.lanes += 1
        return gate

    def when_one_ends(self, subscription_id: SubscriptionId, call: Callable[[], None]) -> None:
        """Call `call` once the next attempt of a subscription has ended."""
        self._waiting.setdefault(subscription_id, []).append(call)

    def ended(self, subscription_id: SubscriptionId) -> None:
        """Call those who wait for it."""
        for call in self._waiting.pop(subscription_id, ()):
            call()

    def let_go(self, subscription_id: SubscriptionId) -> None:
        """Hear that a lane is gone; the gate is forgotten with the last one, if it knows nothing worth keeping."""
        gate = self._gates[subscription_id]
        gate.lanes -= 1
        if gate.lanes == 0 and gate.is_idle:
            del self._gates[subscription_id]
