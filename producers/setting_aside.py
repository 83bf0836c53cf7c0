"""Keys of an outbox that have a record which the brokers refuse for good: one that is too large for its topic, say.

They are set aside for a while: what is behind such a record goes neither before it nor in the way of other keys.
"""

import time
from collections.abc import Callable
from typing import Final, TypeAlias

Place: TypeAlias = tuple[str, bytes | None]  # topic and key: what has an order

FOR_S: Final = 30.0
MOST: Final = 1000  # when more are refused it is no matter of single records: a topic is missing, or a permission


class SetAside:
    """What a relay leaves alone, and until when. Not kept: another relay, or the next one, finds out by itself."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: dict[Place, float] = {}

    def add(self, place: Place) -> bool:
        """Set a key aside; return whether there was room. What has no key has no order, and is never set aside."""
        if place[1] is None or len(self._until) >= MOST:
            return False
        self._until[place] = self._clock() + FOR_S
        return True

    def places(self) -> tuple[list[str], list[bytes]]:
        """Return topics and keys, side by side, of what is to be left alone now."""
        now = self._clock()
        self._until = {place: until for place, until in self._until.items() if until > now}
        return [topic for topic, _ in self._until], [key or b"" for _, key in self._until]
