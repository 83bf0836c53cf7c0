"""CEL on an event: compiled and type-checked once, evaluated with a context that all filters of an event share.

By cel-expr-python, Google's C++ implementation, of which there are wheels for Linux on x86-64. Elsewhere everything but
this dialect works.
"""

import re
from collections.abc import Callable
from functools import cache
from typing import Any, Final

from schemas.errors import InvalidInput
from schemas.filters.amounts import Amount
from schemas.filters.context import EventContext
from schemas.filters.costs import BYTES, ITEMS, MOST_UNITS, TEXTS, cost_of
from schemas.filters.errors import FilterFailed
from schemas.filters.trees import UnknownTree, tree_of

try:
    from cel_expr_python import cel
except ImportError:  # no wheel for this machine
    cel = None

LONGEST_EXPRESSION: Final = 2000  # characters
# To CEL an event of 256 KB is converted in 30 ms at worst ([1,1,…]); what other clients send may be larger.
MOST_BYTES: Final = 512 * 1024
CHEAP_UNITS: Final = 10_000  # of 10 ns: what is not counted
# All filters of one event are asked in one go, for the order of deliveries: 0.2 s, were they all the worst there are.
MOST_UNITS_OF_ALL: Final = 20 * MOST_UNITS
NOT_HERE: Final = (
    "CEL is not to be had on this machine: cel-expr-python has no wheel for it (it has one for Linux on x86-64);"
    " take exact, prefix, suffix, all, any and not"
)
LONGEST_ERROR: Final = 200  # characters
_MOST_READ: Final = 4000  # of the library's: a key that is not there is quoted whole
_TYPES: Final = {
    "id": "STRING",
    "type": "STRING",
    "source": "STRING",
    "key": "STRING",
    "organization_id": "STRING",
    "created_at": "TIMESTAMP",
    "data": "OBJECT",
    "previous": "OBJECT",
    "metadata": "OBJECT",
}
_POSITION: Final = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*)")
_QUOTED: Final = re.compile(r"([\"'])(.*)\1|[\"'].*", re.DOTALL)  # from the first quotation mark to the last
_STATUS: Final = re.compile(r"^[A-Z_]+: | \[[A-Z_]+\]$")

Take = Callable[[EventContext], bool]


def is_available() -> bool:
    """Return whether CEL can be had on this machine."""
    return cel is not None


def compiled(source: str) -> "Expression":
    """Return an expression that says yes or no about an event.

    Raises InvalidInput with line and column of what is wrong; for an expression that is no bool; for one that costs too
    much; and on a machine without CEL.
    """
    if cel is None:
        raise InvalidInput(NOT_HERE)
    if not source.strip() or len(source) > LONGEST_EXPRESSION:
        raise InvalidInput(f"must be an expression of 1 to {LONGEST_EXPRESSION:,} characters")
    try:
        expression = _environment().compile(source)
    except RuntimeError as error:
        raise InvalidInput(_what_is_wrong(str(error))) from None
    kind = str(expression.return_type())
    if kind != "BOOL":
        raise InvalidInput(_no_bool(kind))
    try:
        return Expression(source, expression, cost_of(tree_of(expression.serialize())))
    except UnknownTree as error:
        raise InvalidInput(str(error)) from error


class Expression:
    """A compiled expression."""

    __slots__ = ("_cheap_bytes", "_cost", "_expression", "_source")

    def __init__(self, source: str, expression: Any, cost: Amount) -> None:
        self._source = source
        self._expression = expression
        self._cost = cost
        self._cheap_bytes = _surely_cheap(cost)

    def take(self, context: EventContext) -> bool:
        """Return what it says about an event.

        Raises FilterFailed when it says nothing (a missing field, values that cannot be compared, a loop of more than
        10,000 turns), or may cost too much on an event of this size; InvalidInput for an event whose data is no object.
        """
        json_bytes, items, texts = context.size
        if json_bytes + texts > self._cheap_bytes:
            self._pay(context, json_bytes, items, texts)
        try:
            value = self._expression.eval(context.made(_activation)).value()
        except InvalidInput:
            raise
        except RuntimeError as error:
            raise FilterFailed(self._told(str(error))) from None
        except Exception as error:  # noqa: BLE001 - the owner sees it; what a filter does must not end a worker
            raise FilterFailed(f"could not be evaluated: {type(error).__name__}") from None
        if value is True or value is False:
            return bool(value)
        raise FilterFailed(self._told(str(value)))

    def _pay(self, context: EventContext, json_bytes: int, items: int, texts: int) -> None:
        cost = self._cost.with_sizes({BYTES: json_bytes, ITEMS: items, TEXTS: texts})
        if cost > MOST_UNITS or json_bytes > MOST_BYTES:
            raise FilterFailed(f"the expression may cost too much on an event of {json_bytes:,} bytes")
        context.spent += cost
        if context.spent > MOST_UNITS_OF_ALL:
            raise FilterFailed("all filters of this organization together cost too much on this event")

    def _told(self, error: str) -> str:
        """Return what the library says, without what is the event's: a key may be computed from it."""
        said = _STATUS.sub("", _STATUS.sub("", error[:_MOST_READ]))
        told = _QUOTED.sub(
            lambda quoted: quoted[0] if quoted[2] and quoted[2] in self._source else '"…"', said, count=1
        )
        return " ".join(told.split())[:LONGEST_ERROR]


def _surely_cheap(cost: Amount) -> int:
    """Return up to how many bytes of an event an evaluation is cheap, whatever is in them."""
    size = MOST_BYTES
    while size >= 64:
        if cost.with_sizes({BYTES: size, ITEMS: size / 2, TEXTS: size}) <= CHEAP_UNITS:
            return size
        size //= 2
    return 0


@cache
def _environment() -> Any:
    """Return CEL with our variables.

    `type` is a name of CEL's own. So the variables are fields of `event`, which is the container that names are looked
    up in first: `type` and `event.type` both work, and so does the function `type(…)`.
    """
    kinds = cel.Type
    objects = kinds.Map(kinds.STRING, kinds.DYN)
    variables = {
        f"event.{name}": objects if kind == "OBJECT" else getattr(kinds, kind) for name, kind in _TYPES.items()
    }
    return cel.NewEnv(variables=variables, container="event")


def _activation(context: EventContext) -> Any:
    event = context.event
    return _environment().Activation(
        {
            "event.id": event.id,
            "event.type": event.type,
            "event.source": event.source or "",
            "event.key": event.key or "",
            "event.organization_id": event.organization_id,
            "event.created_at": event.created_at,
            "event.data": context.data,
            "event.previous": context.previous,
            "event.metadata": context.metadata,
        }
    )


def _what_is_wrong(error: str) -> str:
    found = _POSITION.search(error)
    if found is None:
        return " ".join(_STATUS.sub("", error).split())[:LONGEST_ERROR]
    line, column, reason = found.groups()
    reason = reason.replace(" (in container 'event')", "")[:LONGEST_ERROR]
    return reason if int(line) < 1 else f"line {line}, column {column}: {reason}"


def _no_bool(kind: str) -> str:
    if kind == "DYN":
        return "must be true or false, which only the event would tell of this one; compare it: data.active == true"
    return f"must be true or false, and is of type {kind.lower()}"
