"""Which event types a subscription wants: a type's name, `user.*` for all that begin with `user.`, or `*` for all."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from schemas.errors import InvalidInput

LONGEST_PATTERN: Final = 200  # characters
_PATTERN: Final = re.compile(r"\*|[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*(\.\*)?")


def checked_pattern(pattern: str, known_types: Iterable[str]) -> str:
    """Return `pattern` when it is one and can match one of `known_types`; raises InvalidInput saying what to do."""
    if not _PATTERN.fullmatch(pattern) or len(pattern) > LONGEST_PATTERN:
        raise InvalidInput(f"{pattern[:60]!r} is no event type: write a name such as user.created, user.* or *")
    if not any(matches(pattern, known) for known in known_types):
        raise InvalidInput(f"{pattern!r} matches no event type; the catalogue has them all (hookline event-types)")
    return pattern


def matches(pattern: str, event_type: str) -> bool:
    """Return whether `pattern` takes `event_type`. A star stands for the whole rest, dots included."""
    if pattern == "*":
        return True
    if pattern.endswith(".*"):
        return event_type.startswith(pattern[:-1])
    return event_type == pattern


def patterns_taking(event_type: str) -> Iterator[str]:
    """Yield each pattern, of those that may be longest, that takes `event_type`: as many as it has parts, and one."""
    yield "*"
    at = event_type.find(".")
    while 0 <= at < LONGEST_PATTERN - 1:  # another Kafka client's type may be anything, a million dots too
        yield f"{event_type[:at]}.*"
        at = event_type.find(".", at + 1)
    if not (event_type == "*" or event_type.endswith(".*")):  # those were yielded
        yield event_type
