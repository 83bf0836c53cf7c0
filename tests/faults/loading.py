"""Load at a steady rate, in threads; what was acknowledged to the publisher is what is owed."""

import threading
import time
from collections import Counter
from collections.abc import Iterable
from types import TracebackType
from typing import Self
from uuid import uuid4

import httpx

from producers import Publisher
from producers.errors import ProducingError

_SETTLE_S = 15.0  # a receipt is settled within the publisher's patience of 9 s
_FILLING = "x" * 700  # about 1 KB with the rest of the body
_POSTS = 30  # of one event under its own id, before it is given up


class Load:
    """Publishes `events_per_s` events until `events` were tried, or its block ends.

    `accepted` has when each event that Kafka acknowledged was given to the publisher (seconds since 1970), by its id.
    What was refused is owed to nobody, and may arrive all the same.
    """

    def __init__(
        self,
        bootstrap: str,
        organization: str,
        *,
        events_per_s: float,
        events: int | None = None,
        keys: Iterable[str] = (),
        event_type: str = "user.created",
    ) -> None:
        """Prepare. With `keys`, the events have them in turn."""
        self._bootstrap, self._organization = bootstrap, organization
        self._every_s, self._events = 1 / events_per_s, events
        self._keys, self._type = list(keys), event_type
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self.accepted: dict[str, float] = {}
        self.given: dict[str, tuple[str, int]] = {}
        """Each event's key and the how-manieth it was given to the publisher."""
        self.refused = 0
        self.began_at = self.ended_at = 0.0

    @property
    def is_running(self) -> bool:
        """Return whether it goes on publishing."""
        return self._thread.is_alive()

    def join(self) -> None:
        """Wait until every event was tried and is known to be accepted or refused."""
        self._thread.join()

    def __enter__(self) -> Self:
        self.began_at = time.time()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        given: dict[str, float] = {}
        acknowledged: list[str] = []

        def note(event_id: str, error: ProducingError | None) -> None:
            if error is None:
                acknowledged.append(event_id)
            else:
                self.refused += 1

        with Publisher(self._bootstrap, source="/faults") as publisher:
            began, number = time.monotonic(), 0
            while not self._stopping.wait(max(0.0, began + number * self._every_s - time.monotonic())):
                if number == self._events:
                    break
                number += 1
                at = time.time()
                key = self._keys[number % len(self._keys)] if self._keys else None
                try:
                    receipt = publisher.publish(
                        type=self._type,
                        organization_id=self._organization,
                        data={"id": str(number), "name": f"{_FILLING} {key or ''}"},
                        key=key,
                        on_published=note,
                    )
                    given[receipt.event_id] = at
                    self.given[receipt.event_id] = key or "", number
                except ProducingError:
                    self.refused += 1
            self.ended_at = time.time()
            publisher.flush(_SETTLE_S)
        self.accepted = {event_id: given[event_id] for event_id in acknowledged}


class PostedLoad:
    """The same through POST /events, from several threads, which repeat a request that failed.

    Half of the events bring an id of their own: these are posted again under it until they are accepted, and must come
    to one event. `answers` counts the statuses, 0 for a connection that failed.
    """

    def __init__(self, api_url: str, headers: dict[str, str], *, events_per_s: float, threads: int = 4) -> None:
        self._api_url, self._headers = api_url, headers
        self._every_s = threads / events_per_s
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number,), name=f"posts-{number}", daemon=True)
            for number in range(threads)
        ]
        self._noting = threading.Lock()
        self.accepted: dict[str, float] = {}
        self.answers: Counter[int] = Counter()
        self.unlike: list[str] = []
        """Brought ids that were answered with two event ids."""
        self._by_name: dict[str, str] = {}

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _run(self, thread: int) -> None:
        with httpx.Client(base_url=self._api_url, headers=self._headers, trust_env=False, timeout=12.0) as api:
            number = 0
            while not self._stopping.wait(self._every_s):
                number += 1
                body: dict[str, object] = {
                    "type": "user.created",
                    "data": {"id": f"{thread}-{number}", "name": _FILLING},
                }
                name = f"posted-{uuid4().hex}" if number % 2 else None
                if name:
                    body["id"] = name
                for _ in range(_POSTS):
                    if self._post(api, body, name) or name is None:
                        break
                    time.sleep(0.2)

    def _post(self, api: httpx.Client, body: dict[str, object], name: str | None) -> bool:
        at = time.time()
        try:
            answer = api.post("/api/v1/events", json=body)
        except httpx.TransportError:
            with self._noting:
                self.answers[0] += 1
            return False
        with self._noting:
            self.answers[answer.status_code] += 1
            if answer.status_code != 202:
                return False
            event_id = answer.json()["id"]
            self.accepted.setdefault(event_id, at)
            if name is not None and self._by_name.setdefault(name, event_id) != event_id:
                self.unlike.append(name)
        return True
