"""Which event types a subscription wants: a type's name, `user.*` for all that begin with `user.`, or `*` for all.

`**` says the same as `*`. Both stand for the whole rest, dots included, and only at the end: a pattern with a star
before that (`organization.*.created`) would make finding who wants an event cost 2^parts look-ups. A filter says it:
`{"suffix": {"type": ".created"}}`.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from schemas.errors import InvalidInput

LONGEST_PATTERN: Final = 200  # characters
_PATTERN: Final = re.compile(r"\*\*?|[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*(\.\*\*?)?")
_STAR_TOO_EARLY: Final = re.compile(r"[a-z0-9_.*]*\*[a-z0-9_.]*\.[a-z0-9_.*]+")


def checked_pattern(pattern: str, known_types: Iterable[str]) -> str:
    """Return `pattern` when it is one and can match one of `known_types`; raises InvalidInput saying what to do."""
    check_pattern(pattern)
    check_matches(pattern, known_types)
    return pattern


def check_pattern(pattern: str) -> None:
    """Raise InvalidInput, saying what to do, unless it is a pattern, whatever types there are."""
    if not _PATTERN.fullmatch(pattern) or len(pattern) > LONGEST_PATTERN:
        if len(pattern) <= LONGEST_PATTERN and _STAR_TOO_EARLY.fullmatch(pattern):
            raise InvalidInput(
                f"{pattern[:60]!r} has a star before its end: take a wider pattern, such as *, and a filter beside it,"
                ' such as {"suffix": {"type": ".created"}}'
            )
        raise InvalidInput(f"{pattern[:60]!r} is no event type: write a name such as user.created, user.* or *")


def check_matches(pattern: str, known_types: Iterable[str], *, pointer: str = "") -> None:
    """Raise InvalidInput unless a pattern matches one of these types."""
    if not any(matches(pattern, known) for known in known_types):
        detail = f"{pattern!r} matches no event type; the catalogue has them all (hookline event-types list)"
        raise InvalidInput(detail, pointer=pointer)


def matches(pattern: str, event_type: str) -> bool:
    """Return whether `pattern` takes `event_type`. A star, or two, stands for the whole rest, dots included."""
    if pattern in ("*", "**"):
        return True
    if pattern.endswith((".*", ".**")):
        return event_type.startswith(pattern.rstrip("*"))
    return event_type == pattern


def patterns_taking(event_type: str) -> Iterator[str]:
    """Yield each pattern, of those that may be longest, that takes `event_type`: two for each of its parts, and one."""
    yield "*"
    yield "**"
    at = event_type.find(".")
    while 0 <= at < LONGEST_PATTERN - 1:  # another Kafka client's type may be anything, a million dots too
        yield f"{event_type[:at]}.*"
        yield f"{event_type[:at]}.**"
        at = event_type.find(".", at + 1)
    if not (event_type in ("*", "**") or event_type.endswith((".*", ".**"))):  # those were yielded
        yield event_type
