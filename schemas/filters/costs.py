"""What a CEL expression can cost at most, from its tree and the size of an event, before it is evaluated.

cel-expr-python counts the turns of loops (10,000 an evaluation) and nothing else, and `eval` holds the GIL: a worker's
loop stands still meanwhile. Measured on a 250 KB event: `x.contains(y)` 127 ms, `l.map(x, x + 1)` of 9,000 items 2.1 s
and 3.8 GB (each turn copies the list), a regular expression of 18 characters 2.9 s. So each node has a bound in units
of 10 ns, its weights taken from what the worst input was measured to take (tests/schemas/filters/test_costs.py), and
what could take more than `MOST_UNITS` is not evaluated.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from schemas.errors import InvalidInput
from schemas.filters.amounts import Amount, TooInvolved, number, size
from schemas.filters.trees import Call, Constant, Items, Loop, Message, Name, Node, Select

BYTES: Final = "bytes"  # of the JSON of data, previous and metadata
ITEMS: Final = "items"  # commas in it
TEXTS: Final = "texts"  # bytes of the envelope's texts
MOST_UNITS: Final = 1_000_000  # of 10 ns: 10 ms
MOST_NESTED: Final = 3  # loops in one another
SMALL_EVENT: Final = {BYTES: 1024.0, ITEMS: 50.0, TEXTS: 200.0}
_JSON: Final = {"event.data", "event.previous", "event.metadata"}
_NOTHING: Final = number(0)


@dataclass(frozen=True, slots=True)
class Sized:
    """Of a value: how many items any list in it has at most, how large it is in all, and what it cost to get it."""

    items: Amount
    bytes: Amount
    cost: Amount
    text: str | None = None  # of a literal


def cost_of(tree: Node) -> Amount:
    """Return what evaluating costs at most, in units of 10 ns.

    Raises InvalidInput for functions that are not to be had, and for what costs too much even on a small event.
    """
    try:
        cost = _Costs().of(tree).cost
    except TooInvolved:
        raise InvalidInput(f"is too involved: take fewer loops, at most {MOST_NESTED} in one another") from None
    if cost.with_sizes(SMALL_EVENT) > MOST_UNITS:
        raise InvalidInput("costs too much even on an event of 1 KB; take fewer or simpler loops and concatenations")
    return cost


class _Costs:
    def __init__(self) -> None:
        self._names: dict[str, Sized] = {}
        self._loops = 0
        self._depth = 0

    def of(self, node: Node) -> Sized:
        match node:
            case Constant(length, text):
                return Sized(_NOTHING, number(length), number(1), text)
            case Name(name):
                return self._named(name)
            case Select(operand, is_test):
                of = self.of(operand)
                return _scalar(of.cost + number(10)) if is_test else Sized(of.items, of.bytes, of.cost + number(10))
            case Call(function, arguments):
                return _call(function, [self.of(argument) for argument in arguments])
            case Items(items):
                return self._literal(items)
            case Loop():
                return self._loop(node)
            case Message(name):
                raise InvalidInput(f"{name}{{…}} is not to be had here: compare with plain values")

    def _named(self, name: str) -> Sized:
        known = self._names.get(name)
        if known is not None:
            return known
        if name in _JSON:
            return Sized(size(ITEMS), size(BYTES), number(10))
        return Sized(_NOTHING, size(TEXTS) + number(40), number(10))

    def _literal(self, nodes: tuple[Node, ...]) -> Sized:
        items, total, cost = number(len(nodes)), number(len(nodes)), number(10 + 10 * len(nodes))
        for node in nodes:
            each = self.of(node)
            items, total, cost = items + each.items, total + each.bytes, cost + each.cost
        return Sized(items, total, cost)

    def _loop(self, loop: Loop) -> Sized:
        """Return the cost of all turns: what touches the item only adds up to the list, whatever it holds."""
        self._loops += 1
        self._depth += 1
        if self._depth > MOST_NESTED:
            raise TooInvolved
        mine = f"items of {self._loops}", f"bytes of {self._loops}"
        over = self.of(loop.range)
        sums = {mine[0]: over.items, mine[1]: over.bytes}
        outer = dict(self._names)
        self._names[loop.variable] = Sized(size(mine[0]), size(mine[1]), number(5))
        start = self.of(loop.start)
        made = start
        if isinstance(loop.start, Items):  # `map` and `filter`: each turn copies the list so far
            self._names[loop.accumulator] = Sized(_NOTHING, _NOTHING, _NOTHING)
            each = self.of(loop.step)
            made = Sized(each.items.over(sums, over.items), each.bytes.over(sums, over.items), _NOTHING)
        # A list's copy costs by its items, whatever they hold; yes, no and a count are no lists.
        self._names[loop.accumulator] = Sized(made.items, number(8), number(5))
        turn = number(15) + self.of(loop.condition).cost + self.of(loop.step).cost
        result = self.of(loop.result)
        self._names = outer
        self._depth -= 1
        cost = over.cost + start.cost + turn.over(sums, over.items) + result.cost
        return Sized(made.items, made.bytes, cost)


def _scalar(cost: Amount) -> Sized:
    return Sized(_NOTHING, number(8), cost)


def _call(function: str, given: list[Sized]) -> Sized:
    rule = _RULES.get(function)
    if rule is None:
        raise InvalidInput(f"{function} is not to be had here")
    made = rule(given)
    cost = made.cost
    for each in given:
        cost += each.cost
    return Sized(made.items, made.bytes, cost)


def _cheap(_: list[Sized]) -> Sized:
    return _scalar(number(15))


def _comparing(given: list[Sized]) -> Sized:
    """Deep equality of lists and maps is what costs most: 35 ns a byte of JSON."""
    return _scalar(number(15) + 3.5 * _smaller(given[0].bytes, given[1].bytes))


def _within(given: list[Sized]) -> Sized:
    item, of = given
    if item.bytes.is_number:
        return _scalar(number(15) + (2.5 + 0.05 * item.bytes.with_sizes({})) * of.items)
    return _scalar(number(15) + 0.05 * item.bytes + 2.5 * of.items + 3.5 * of.bytes)


def _adding(given: list[Sized]) -> Sized:
    """Numbers, texts or lists: texts are copied at 8 ns a byte, lists at 50 ns an item."""
    items, total = given[0].items + given[1].items, given[0].bytes + given[1].bytes
    return Sized(items, total, number(15) + 0.8 * total + 5.0 * items)


def _choosing(given: list[Sized]) -> Sized:
    return Sized(given[1].items + given[2].items, given[1].bytes + given[2].bytes, number(10))


def _through(given: list[Sized]) -> Sized:
    return Sized(given[0].items, given[0].bytes, number(15) + 0.02 * given[0].bytes)


def _at(given: list[Sized]) -> Sized:
    """A key that is not there goes into the error's text: 2.7 ns a byte of it."""
    return Sized(given[0].items, given[0].bytes, number(15) + 0.4 * given[1].bytes)


def _reading(per_byte: float, at_least: float) -> Callable[[list[Sized]], Sized]:
    return lambda given: _scalar(number(at_least) + per_byte * given[0].bytes)


def _writing(given: list[Sized]) -> Sized:
    return Sized(_NOTHING, given[0].bytes + number(40), number(30) + 0.5 * given[0].bytes)


def _looking_for(given: list[Sized]) -> Sized:
    """Worst when almost all of what is looked for fits at every place: 0.02 ns for each pair of bytes."""
    text, part = given
    return _scalar(number(15) + text.bytes * (number(1.2) + 0.005 * part.bytes))


def _beginning(given: list[Sized]) -> Sized:
    return _scalar(number(15) + 0.01 * given[1].bytes)


def _matching(given: list[Sized]) -> Sized:
    """RE2 is linear in the text, and in the expression when its automaton does not fit into memory: 12 ns a state."""
    text, pattern = given
    if pattern.text is None:
        raise InvalidInput("matches takes a literal: the expression may not come from the event")
    states = states_of(pattern.text)
    return _scalar(number(100 + 20.0 * states) + (0.3 + 1.3 * states) * text.bytes)


def _time_of(given: list[Sized]) -> Sized:
    if len(given) > 1:
        raise InvalidInput("times are UTC here: leave the time zone out, or add a duration")
    return _scalar(number(50))


_MEMBERS_OF_TIME: Final = (
    "getFullYear", "getMonth", "getDayOfYear", "getDayOfMonth", "getDate", "getDayOfWeek", "getHours", "getMinutes",
    "getSeconds", "getMilliseconds",
)  # fmt: skip
_RULES: Final[Mapping[str, Callable[[list[Sized]], Sized]]] = {
    **dict.fromkeys(("_&&_", "_||_", "!_", "-_", "_-_", "_*_", "_/_", "_%_", "@not_strictly_false", "type"), _cheap),
    **dict.fromkeys(("_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_"), _comparing),
    "@in": _within,
    "_+_": _adding,
    "_?_:_": _choosing,
    "_[_]": _at,
    "dyn": _through,
    "bytes": _through,
    "size": _reading(0.4, 15),
    "int": _reading(0.3, 20),
    "uint": _reading(0.3, 20),
    "double": _reading(0.3, 20),
    "bool": _reading(0.1, 20),
    "timestamp": _reading(0.3, 150),
    "duration": _reading(3.0, 150),
    "string": _writing,
    "contains": _looking_for,
    "startsWith": _beginning,
    "endsWith": _beginning,
    "matches": _matching,
    **dict.fromkeys(_MEMBERS_OF_TIME, _time_of),
}

LONGEST_REGEX: Final = 200  # characters
MOST_STATES: Final = 1000
_REPEATED: Final = re.compile(r"(.?)\{(\d+)(?:,(\d*))?\}", re.DOTALL)
_UNICODE_CLASS: Final = re.compile(r"\\[pP]")
_WIDE: Final = re.compile(r"\[\^|\\[DWS]|\.|\(\?")


def states_of(pattern: str) -> int:
    """Return a bound on the size of RE2's program for a regular expression; raises InvalidInput when it is too large.

    Counted repetitions make it longer, those of groups multiply it: `(a{30}){30}` has 900 states.
    """
    if len(pattern) > LONGEST_REGEX:
        raise InvalidInput(f"a regular expression has at most {LONGEST_REGEX} characters")
    wide, classes = len(_WIDE.findall(pattern)), len(_UNICODE_CLASS.findall(pattern))
    states = len(pattern.encode()) + 20 * wide + 400 * classes
    of_groups = 1
    for before, least, most in _REPEATED.findall(pattern):
        times = max(int(least[:6]), int(most[:6] or 0), 1) + 1
        if before in (")", "}"):
            of_groups *= times
        else:
            states += times * (400 if classes else 20 if wide else 4)
        if states * of_groups > MOST_STATES:
            break
    if states * of_groups > MOST_STATES:
        raise InvalidInput(f"the regular expression {pattern[:60]!r} is too large; repeat less, or take fewer classes")
    return states * of_groups


def _smaller(one: Amount, other: Amount) -> Amount:
    """Return one that is surely no smaller than the smaller of both."""
    typical = {BYTES: 1000.0, ITEMS: 100.0, TEXTS: 100.0, "": 1000.0}
    return min(one, other, key=lambda amount: amount.with_sizes(typical))
