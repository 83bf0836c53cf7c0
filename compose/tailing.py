"""Events as they come: GET /events asked again and again, since what is late is filed before what was seen.

An event is filed under the time in its id, and ids are made by publishers: one whose outbox waited, or a partition that
the projection read later, appears behind others. So each look begins before the newest event that was seen, and what
was printed is known by its id.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from compose.asking import Api, Body
from compose.refusals import ApiAway, Refused
from schemas.ids import is_time_ordered, made_at

NEAR: Final = timedelta(seconds=2)
FAR: Final = timedelta(seconds=60)
FAR_EVERY: Final = 10  # looks; a near one costs a page, a far one all that came within a minute
_LOOK_EVERY_S: Final = 1.0


class Window:
    """Where the next look begins, and which events were seen.

    The ids of the last far look and of the near ones after it are kept: what a later look can return is among them.
    """

    def __init__(self, start: datetime) -> None:
        """Begin at `start`: what is filed before it is never asked for."""
        self._start = start
        self._newest = start
        self._seen: set[str] = set()
        self._looks = 0
        self._is_far = True
        self._returned: set[str] = set()

    def begin(self) -> datetime:
        """Begin a look and return from which time on it asks."""
        self._is_far = self._looks % FAR_EVERY == 0
        self._looks += 1
        self._returned = set()
        return max(self._start, self._newest - (FAR if self._is_far else NEAR))

    def fresh(self, events: Sequence[Body], *, now: datetime) -> list[Body]:
        """Return those of a look's events that were not seen before."""
        new = [event for event in events if event["id"] not in self._seen]
        for event in events:
            self._seen.add(event["id"])
            self._returned.add(event["id"])
            # A publisher's clock may run ahead, by a day at most; the window must not run after it.
            if is_time_ordered(event["id"], "evt") and (made := made_at(event["id"])) <= now:
                self._newest = max(self._newest, made)
        return new

    def finish(self) -> None:
        """End a look that was read to its end; after a far one, what it did not return cannot come back."""
        if self._is_far:
            self._seen = self._returned


def tail(
    api: Api,
    *,
    type: str | None,  # noqa: A002 - REST's name
    since: str | None,
    say: Callable[[str], None],
) -> Iterator[Body]:
    """Yield events as they come, from `since` on or from now; goes on for ever.

    An API that goes away, or whose database does, is waited for, which `say` hears once; raises ApiAway or Refused when
    it is away at first.
    """
    api.get("/events", limit=1)  # its clock counts, not ours
    window = Window(api.now() - FAR if since is None else datetime.fromisoformat(since))
    if since is None:  # what is there already is known, and not printed
        for _ in _look(api, window, type):
            pass
    is_away = False
    while True:
        try:
            yield from _look(api, window, type)
            if is_away:
                say("the API is back")
            is_away = False
        except (ApiAway, Refused) as error:
            if not error.may_pass:
                raise
            if not is_away:
                say(f"{error}; asking again until it is back")
            is_away = True
        time.sleep(_LOOK_EVERY_S)


def _look(api: Api, window: Window, type: str | None) -> Iterator[Body]:  # noqa: A002
    since = window.begin().isoformat().replace("+00:00", "Z")
    for page in api.pages("/events", {"order": "asc", "since": since, "type": type}):
        yield from window.fresh(page, now=api.now())
    window.finish()
