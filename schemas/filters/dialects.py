"""The filters of a subscription: an array of filter objects, all of which must take an event.

CloudEvents Subscriptions API 0.1-wip, 3.2.4.1: `exact`, `prefix`, `suffix` on attributes, `all`, `any`, `not` of
filters, and a dialect of our own, `cel`.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, cast

import orjson

from schemas.errors import InvalidInput
from schemas.filters.context import EventContext
from schemas.filters.errors import FilterFailed
from schemas.filters.expressions import Take, compiled
from schemas.json_values import Json, check_json, escaped

MOST_FILTERS: Final = 50  # filter objects in all, those in others too
MOST_EXPRESSIONS: Final = 3  # of CEL: each may take 10 ms of a worker
DEEPEST: Final = 5  # filter objects in one another
MOST_ATTRIBUTES: Final = 20  # of one filter object
LONGEST_VALUE: Final = 1000  # characters
DIALECTS: Final = ("exact", "prefix", "suffix", "all", "any", "not", "cel")
_ATTRIBUTE: Final = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_REMEMBERED: Final = 10_000
_COMPARISONS: Final[dict[str, Callable[[str, str], bool]]] = {
    "exact": str.__eq__,
    "prefix": str.startswith,
    "suffix": str.endswith,
}


@dataclass(frozen=True, slots=True)
class Filters:
    """A subscription's filters, ready to be asked. `broken` says why they take nothing at all, None when they work."""

    takes: tuple[Take, ...]
    broken: str | None = None

    def take(self, context: EventContext) -> bool:
        """Return whether all of them take an event; one that does not outweighs one that fails.

        Raises FilterFailed when one fails and none says no; InvalidInput for an event whose data is no JSON object.
        """
        if self.broken is not None:
            raise FilterFailed(self.broken)
        return _all(self.takes, context)


ALL_EVENTS: Final = Filters(())


def checked_filters(value: Json, *, pointer: str = "/filters") -> str:
    """Return filters as canonical JSON text: names sorted, no white space.

    Raises InvalidInput, with a pointer to what does not hold: an unknown dialect, an attribute that cannot be one, too
    many, too deep, and what CEL says of an expression.
    """
    check_json(value, pointer=pointer)
    _compile(value, pointer)
    return canonical(value)


def canonical(value: Json) -> str:
    """Return the one text of a JSON value: names sorted, no white space."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def filters_of(text: str | None) -> Filters:
    """Return the filters that a text holds; None takes every event.

    Never raises: what this release or this machine cannot make filters of takes nothing, and says why.
    """
    return ALL_EVENTS if text is None else _filters_of(text)


@lru_cache(_REMEMBERED)
def _filters_of(text: str) -> Filters:
    try:
        return Filters(_compile(cast(Json, orjson.loads(text)), "/filters"))
    except orjson.JSONDecodeError:
        return Filters((), broken="the filters are not JSON")
    except InvalidInput as error:
        return Filters((), broken=str(error))


def _compile(value: Json, pointer: str) -> tuple[Take, ...]:
    if not isinstance(value, list):
        raise InvalidInput('must be an array of filters, such as [{"prefix": {"type": "user."}}]', pointer=pointer)
    return _Compiler().each_of(value, pointer, level=1)


class _Compiler:
    def __init__(self) -> None:
        self._filters = 0
        self._expressions = 0

    def each_of(self, values: Sequence[Json], pointer: str, *, level: int) -> tuple[Take, ...]:
        """Return them all, the ones that cost least first: their order is nobody's business."""
        made = [self._one(value, f"{pointer}/{at}", level=level) for at, value in enumerate(values)]
        return tuple(take for _, take in sorted(made, key=lambda one: one[0]))

    def _one(self, value: Json, pointer: str, *, level: int) -> tuple[bool, Take]:
        """Return whether a filter evaluates CEL, and what it takes."""
        self._filters += 1
        if self._filters > MOST_FILTERS:
            raise InvalidInput(f"has more than {MOST_FILTERS} filters", pointer=pointer)
        if level > DEEPEST:
            raise InvalidInput(f"nests filters deeper than {DEEPEST} levels", pointer=pointer)
        if not isinstance(value, dict) or len(value) != 1:
            raise InvalidInput(f"must be an object with one name, a dialect: {', '.join(DIALECTS)}", pointer=pointer)
        ((dialect, of),) = value.items()
        within = f"{pointer}/{escaped(dialect)}"
        if dialect in _COMPARISONS:
            return False, _attributes(dialect, of, within)
        before = self._expressions
        match dialect:
            case "all" | "any":
                take = self._several(dialect, of, within, level)
            case "not":
                take = _Not(self._one(of, within, level=level + 1)[1])
            case "cel":
                take = self._expression(of, within)
            case _:
                raise InvalidInput(f"is no dialect; there are {', '.join(DIALECTS)}", pointer=within)
        return self._expressions > before, take

    def _several(self, dialect: str, of: Json, pointer: str, level: int) -> Take:
        if not isinstance(of, list) or not of:
            raise InvalidInput("must be an array of at least one filter", pointer=pointer)
        takes = self.each_of(of, pointer, level=level + 1)
        return (lambda context: _all(takes, context)) if dialect == "all" else (lambda context: _any(takes, context))

    def _expression(self, of: Json, pointer: str) -> Take:
        if not isinstance(of, str):
            raise InvalidInput("must be a CEL expression, as a string", pointer=pointer)
        self._expressions += 1
        if self._expressions > MOST_EXPRESSIONS:
            raise InvalidInput(
                f"has more than {MOST_EXPRESSIONS} expressions; join them with && or ||", pointer=pointer
            )
        try:
            return compiled(of).take
        except InvalidInput as error:
            raise InvalidInput(error.detail, pointer=pointer) from error


@dataclass(frozen=True, slots=True)
class _Not:
    """The inverse; what fails fails inverted too."""

    inner: Take

    def __call__(self, context: EventContext) -> bool:
        return not self.inner(context)


def _attributes(dialect: str, of: Json, pointer: str) -> Take:
    if not isinstance(of, dict) or not 1 <= len(of) <= MOST_ATTRIBUTES:
        raise InvalidInput(f"must be an object of 1 to {MOST_ATTRIBUTES} attributes and their values", pointer=pointer)
    wanted: list[tuple[str, str]] = []
    for name, value in of.items():
        within = f"{pointer}/{escaped(name)}"
        if not _ATTRIBUTE.fullmatch(name):
            raise InvalidInput(
                "is no attribute: id, type, source, subject (the key), time, organizationid, or a name in metadata",
                pointer=within,
            )
        if not isinstance(value, str) or not 1 <= len(value) <= LONGEST_VALUE:
            raise InvalidInput(f"must be a string of 1 to {LONGEST_VALUE:,} characters", pointer=within)
        wanted.append((name, value))
    holds, pairs = _COMPARISONS[dialect], tuple(wanted)

    def take(context: EventContext) -> bool:
        for name, value in pairs:
            found = context.attribute(name)
            if found is None or not holds(found, value):
                return False
        return True

    return take


def _all(takes: Sequence[Take], context: EventContext) -> bool:
    """Return whether all take it. As in CEL: one that says no decides, also beside one that fails."""
    failed: FilterFailed | None = None
    for take in takes:
        try:
            if not take(context):
                return False
        except FilterFailed as error:
            failed = failed or error
    if failed is not None:
        raise failed
    return True


def _any(takes: Sequence[Take], context: EventContext) -> bool:
    """Return whether one takes it, also beside one that fails."""
    failed: FilterFailed | None = None
    for take in takes:
        try:
            if take(context):
                return True
        except FilterFailed as error:
            failed = failed or error
    if failed is not None:
        raise failed
    return False
