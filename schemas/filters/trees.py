"""The tree of a compiled CEL expression, read from what cel-expr-python serializes.

That is a `google.protobuf.Any` with a `cel.expr.CheckedExpr` (cel-spec, proto/cel/expr/checked.proto and syntax.proto);
of the two messages a few fields are needed, so they are read here by their numbers.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, cast

from schemas.errors import HooklineError

_ANY_VALUE: Final = 2
_CHECKED_EXPRESSION: Final = 4
_Field = tuple[int, int | bytes]


class UnknownTree(HooklineError):
    """The library writes what this module does not know: another version of it."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A literal; `size` in bytes, 1 for what is no text. `text` when it is one."""

    size: int
    text: str | None


@dataclass(frozen=True, slots=True)
class Name:
    """A variable."""

    name: str


@dataclass(frozen=True, slots=True)
class Select:
    """`operand.field`, or `has(operand.field)`."""

    operand: "Node"
    is_test: bool


@dataclass(frozen=True, slots=True)
class Call:
    """A function, an operator (`_+_`) or, with a target, a member function."""

    function: str
    arguments: tuple["Node", ...]
    is_member: bool


@dataclass(frozen=True, slots=True)
class Items:
    """A list or map literal: its elements, or keys and values."""

    items: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Message:
    """A protobuf message literal."""

    name: str


@dataclass(frozen=True, slots=True)
class Loop:
    """A comprehension, as macros make it: `all`, `exists`, `exists_one`, `map`, `filter`."""

    variable: str
    range: "Node"
    accumulator: str
    start: "Node"
    condition: "Node"
    step: "Node"
    result: "Node"


Node = Constant | Name | Select | Call | Items | Message | Loop


def tree_of(serialized: bytes) -> Node:
    """Return the tree of a serialized expression; raises UnknownTree."""
    try:
        return _node(_only(_only(serialized, _ANY_VALUE), _CHECKED_EXPRESSION))
    except (IndexError, KeyError, UnicodeDecodeError) as error:
        raise UnknownTree(f"a compiled CEL expression could not be read: {type(error).__name__}") from error


def _node(message: bytes) -> Node:
    kind, value = next((number, value) for number, value in _fields(message) if number != 2)  # 2: the node's id
    read = _KINDS.get(kind)
    if read is None:
        raise UnknownTree(f"a compiled CEL expression has a node of a kind that is not known: {kind}")
    return read(cast(bytes, value))


def _constant(body: bytes) -> Constant:
    for number, value in _fields(body):
        if number == 6:
            return Constant(len(cast(bytes, value)), cast(bytes, value).decode())
        if number == 7:
            return Constant(len(cast(bytes, value)), None)
    return Constant(1, None)


def _select(body: bytes) -> Select:
    fields = dict(_fields(body))
    return Select(_node(cast(bytes, fields[1])), is_test=bool(fields.get(3)))


def _list(body: bytes) -> Items:
    return Items(tuple(_node(cast(bytes, item)) for number, item in _fields(body) if number == 1))


def _call(body: bytes) -> Call:
    target: list[Node] = []
    arguments: list[Node] = []
    function = ""
    for number, value in _fields(body):
        if number == 2:
            function = cast(bytes, value).decode()
        else:
            (target if number == 1 else arguments).append(_node(cast(bytes, value)))
    return Call(function, (*target, *arguments), is_member=bool(target))


def _struct(body: bytes) -> Items | Message:
    items: list[Node] = []
    for number, value in _fields(body):
        if number == 1 and value:
            return Message(cast(bytes, value).decode())
        if number == 2:
            items += [_node(cast(bytes, part)) for which, part in _fields(cast(bytes, value)) if which in (3, 4)]
    return Items(tuple(items))


def _loop(body: bytes) -> Loop:
    fields = dict(_fields(body))
    if fields.get(8):
        raise UnknownTree("a compiled CEL expression has a loop with two variables")
    parts = {number: _node(cast(bytes, fields[number])) for number in (2, 4, 5, 6, 7)}
    return Loop(_text(body, 1), parts[2], _text(body, 3), parts[4], parts[5], parts[6], parts[7])


_KINDS: Final[dict[int, Callable[[bytes], Node]]] = {
    3: _constant,
    4: lambda body: Name(_text(body, 1)),
    5: _select,
    6: _call,
    7: _list,
    8: _struct,
    9: _loop,
}


def _text(message: bytes, wanted: int) -> str:
    return _only(message, wanted).decode()


def _only(message: bytes, wanted: int) -> bytes:
    return cast(bytes, dict(_fields(message))[wanted])


def _fields(message: bytes) -> Iterator[_Field]:
    """Yield the fields of a protobuf message in their order (protobuf.dev, "Encoding")."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield number, value
            continue
        if kind == 2:
            length, at = _varint(message, at)
        else:
            length = {1: 8, 5: 4}[kind]
        yield number, message[at : at + length]
        at += length


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
