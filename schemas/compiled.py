"""Avro bodies written and read by functions generated once per schema, for the schemas of this release.

In place of fastavro for a measured reason: its time goes into asking each value what it is. An outcome (34 fields, 15
unions) takes 12 µs to write instead of 35, a delivery 13 µs to read instead of 19 (docs/performance.md). Records of
earlier releases are read by fastavro, and tests hold that both agree byte for byte.

What a schema may be made of: string, bytes, boolean, int, long, double, timestamp-micros, records, arrays, maps, and
unions of null (first) with one of them.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from textwrap import indent
from typing import Any, Final, cast

Write = Callable[[Any], bytes]
Read = Callable[[bytes, int], tuple[Any, int]]
_Schema = Any  # parsed JSON: text, list or object

_LEAST, _GREATEST = -(1 << 63), (1 << 63) - 1


class Malformed(ValueError):
    """Bytes that are no value of the schema, or a value that it cannot hold."""


@dataclass(frozen=True, slots=True)
class Classes:
    """The dataclasses that records are made of, by their full names; each has a keyword for each field of its schema.

    `conversions` turn what is read of a field into the field's own class.
    """

    by_name: Mapping[str, type[Any]]
    conversions: Mapping[tuple[type[Any], str], Callable[[Any], Any]]


def writer_of(schema: _Schema, classes: Classes, *, beginning: bytes) -> Write:
    """Return what writes a record of a schema that fastavro has parsed (names are full names), after `beginning`."""
    code = _WriterCode(classes)
    code.value(schema, "record")
    lines = [f"out = [{beginning!r}]", "add = out.append", "add_all = out.extend", *_together(code.lines)]
    return code.function("write(record)", [*lines, "return b''.join(out)"])


def _together(blocks: list[str]) -> list[str]:
    """Return lines in which parts that follow one another are added by one call; each call costs as much as a part.

    A part is a name that is given its value once, so it may be added later than where it got it.
    """
    lines, parts = list[str](), list[str]()
    for line in "\n".join(blocks).split("\n"):
        if line.startswith("add("):
            parts.append(line.removeprefix("add(").removesuffix(")"))
        elif line.startswith(("if ", "for ")):
            lines += _added(parts)
            parts = []
            lines.append(line)
        else:
            lines.append(line)
    return [*lines, *_added(parts)]


def _added(parts: list[str]) -> list[str]:
    return [f"add({parts[0]})"] if len(parts) == 1 else [f"add_all(({', '.join(parts)}))"] if parts else []


def reader_of(schema: _Schema, classes: Classes) -> Read:
    """Return what reads a record at an index of some bytes, and the index behind it.

    That may lie past their end, which the caller must look at. It raises IndexError, ValueError or OverflowError.
    """
    code = _ReaderCode(classes)
    code.value(schema, "found")
    return code.function("read(data, at)", [*code.lines, "return found, at"])


@dataclass
class _Code:
    """Lines of a function under way. They consist of this module's text and names of fields that Python knows."""

    classes: Classes
    lines: list[str] = field(default_factory=list)
    named: dict[str, _Schema] = field(default_factory=dict)
    names: dict[str, object] = field(default_factory=lambda: dict(_NAMES))
    count: int = 0

    def fresh(self, beginning: str) -> str:
        """Return a name that no other line has."""
        self.count += 1
        return f"{beginning}{self.count}"

    def resolved(self, schema: _Schema) -> _Schema:
        """Return what a name stands for, and remember what has one."""
        if isinstance(schema, dict) and schema["type"] == "record":
            self.named[schema["name"]] = schema
        found = self.named.get(schema, schema) if isinstance(schema, str) else schema
        return found["type"] if isinstance(found, dict) and set(found) <= {"type", "doc"} else found

    def class_of(self, schema: _Schema) -> type[Any]:
        """Return the class of a record's schema, which must have the same fields."""
        record_class = self.classes.by_name[schema["name"]]
        if {each.name for each in fields(record_class)} != {each["name"] for each in schema["fields"]}:
            raise NotImplementedError(f"{record_class.__name__} and its schema have other fields")
        return record_class

    def within(self, emit: Callable[[], None]) -> str:
        """Return the lines that `emit` adds, indented, as a block of their own."""
        outer, self.lines = self.lines, []
        emit()
        inner, self.lines = self.lines, outer
        return indent("\n".join(_together(inner)), "    ")

    def function(self, signature: str, lines: list[str]) -> Callable[..., Any]:
        """Return the function of these lines."""
        source = f"def {signature}:\n" + indent("\n".join(lines), "    ")
        exec(compile(source, f"<{signature}>", "exec"), self.names)  # noqa: S102 - our schemas' names and our own text
        return cast("Callable[..., Any]", self.names[signature.partition("(")[0]])


class _WriterCode(_Code):
    def value(self, schema: _Schema, of: str) -> None:
        """Add the lines that write what the expression `of` holds."""
        match self.resolved(schema):
            case {"logicalType": "timestamp-micros"}:
                self.lines.append(f"add(moment({of}))")
            case {"type": "record"} as record:
                self.class_of(record)
                for each in record["fields"]:
                    self.value(each["type"], f"{of}.{each['name']}")
            case {"type": "array", "items": items}:
                self._items(of, of, lambda item: self.value(items, item))
            case {"type": "map", "values": values}:
                self._items(of, f"{of}.items()", lambda item: self._pair(values, item))
            case ["null", other]:
                value = self.fresh("v")
                block = self.within(lambda: self._second(other, value))
                self.lines.append(f"{value} = {of}\nif {value} is None:\n    add(NULL)\nelse:\n{block}")
            case str(primitive) if primitive in _WRITES:
                self.lines.append(_WRITES[primitive].format(of=of, v=self.fresh("v")))
            case other:
                raise NotImplementedError(f"no writer for {other}")

    def _second(self, schema: _Schema, of: str) -> None:
        self.lines.append("add(SECOND)")
        self.value(schema, of)

    def _items(self, of: str, items: str, emit: Callable[[str], None]) -> None:
        item = self.fresh("i")
        block = self.within(lambda: emit(item))
        self.lines.append(f"if {of}:\n    add(long(len({of})))\n    for {item} in {items}:\n{indent(block, '    ')}")
        self.lines.append("add(NULL)")

    def _pair(self, values: _Schema, pair: str) -> None:
        self.value("string", f"{pair}[0]")
        self.value(values, f"{pair}[1]")


class _ReaderCode(_Code):
    def value(self, schema: _Schema, to: str) -> None:
        """Add the lines that read a value into the variable `to`."""
        match self.resolved(schema):
            case {"logicalType": "timestamp-micros"}:
                self.lines.append(f"{to}, at = moment_at(data, at)")
            case {"type": "record"} as record:
                self._record(record, to)
            case {"type": "array", "items": items}:
                item = self.fresh("i")
                self._blocks(to, "[]", lambda: self.value(items, item), f"{to}.append({item})")
                self.lines.append(f"{to} = tuple({to})")
            case {"type": "map", "values": values}:
                name, value = self.fresh("n"), self.fresh("i")

                def pair() -> None:
                    self.value("string", name)
                    self.value(values, value)

                self._blocks(to, "{}", pair, f"{to}[{name}] = {value}")
            case ["null", other]:
                block = self.within(lambda: self.value(other, to))
                self.lines.append(
                    f"branch = data[at]\nat += 1\nif branch == 0:\n    {to} = None\nelif branch == 2:\n{block}"
                )
                self.lines.append("else:\n    raise Malformed('a branch that the union has not')")
            case str(primitive) if primitive in _READS:
                self.lines.append(_READS[primitive].format(to=to))
            case other:
                raise NotImplementedError(f"no reader for {other}")

    def _record(self, record: _Schema, to: str) -> None:
        record_class = self.class_of(record)
        given = []
        for each in record["fields"]:
            value = self.fresh("v")
            self.value(each["type"], value)
            convert = self.classes.conversions.get((record_class, each["name"]))
            if convert is not None:
                self.names[f"convert_{value}"] = convert
            given.append(f"{each['name']}={value if convert is None else f'convert_{value}({value})'}")
        self.names[record_class.__name__] = record_class
        self.lines.append(f"{to} = {record_class.__name__}({', '.join(given)})")

    def _blocks(self, to: str, empty: str, emit: Callable[[], None], keep: str) -> None:
        left, block = self.fresh("left"), self.within(emit)
        self.lines.append(
            f"{to} = {empty}\n{left}, at = block_at(data, at)\nwhile {left}:\n{block}\n    {keep}\n    {left} -= 1\n"
            f"    if not {left}:\n        {left}, at = block_at(data, at)"
        )


def _long(value: int) -> bytes:
    """Return a zigzag varint of 1 to 10 bytes."""
    if 0 <= value < 64:
        return _SHORT[value]
    if 0 <= value < 8192:  # the length of nearly every body
        return bytes((value << 1 & 127 | 128, value >> 6))
    if not _LEAST <= value <= _GREATEST:
        raise Malformed("over 64 bits")
    rest = value << 1 ^ value >> 63
    out = bytearray()
    while rest > 127:
        out.append(rest & 127 | 128)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def _long_at(data: bytes, at: int) -> tuple[int, int]:
    rest, shift = 0, 0
    while True:
        byte = data[at]
        at += 1
        rest |= (byte & 127) << shift
        if byte < 128:
            return rest >> 1 ^ -(rest & 1), at
        shift += 7
        if shift > 63:
            raise Malformed("a number of over 10 bytes")


def _length_at(data: bytes, at: int) -> tuple[int, int]:
    """Return where what begins with its length begins and ends."""
    length, at = _long_at(data, at)
    if length < 0:
        raise Malformed("a negative length")
    return at, at + length


def _block_at(data: bytes, at: int) -> tuple[int, int]:
    """Return how many items come next; a negative count is followed by their size in bytes."""
    count, at = _long_at(data, at)
    if count < 0:
        _, at = _long_at(data, at)
    return abs(count), at


# Microseconds since 1970 take 8 bytes of 7 bits from 1978 to 3111: those bits are moved into and out of the bytes of
# one number at once, by halves, quarters and eighths. The loop above takes twice as long, an outcome has four.
_HALF, _QUARTER, _EIGHTH = 0x0FFF_FFFF, 0x3FFF_0000_3FFF, 0x7F_007F_007F_007F
_GO_ON: Final = 0x80_8080_8080_8080


def _moment(moment: datetime) -> bytes:
    since = moment - _EPOCH
    value = ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) << 1  # `//` takes twice as long
    if not 1 << 49 <= value < 1 << 56:
        return _long(value >> 1)
    value = value & _HALF | (value >> 28) << 32
    value = value & _QUARTER | (value >> 14 & _QUARTER) << 16
    value = value & _EIGHTH | (value >> 7 & _EIGHTH) << 8
    return (value | _GO_ON).to_bytes(8, "little")


def _moment_at(data: bytes, at: int) -> tuple[datetime, int]:
    value = int.from_bytes(data[at : at + 8], "little")
    if value & 0x8080_8080_8080_8081 != _GO_ON:  # not 8 bytes, or before 1970
        microseconds, at = _long_at(data, at)
        return _EPOCH + timedelta(0, 0, microseconds), at
    value = value & _EIGHTH | (value >> 8 & _EIGHTH) << 7
    value = value & _QUARTER | (value >> 16 & _QUARTER) << 14
    return _EPOCH + timedelta(0, 0, (value & _HALF | (value >> 32) << 28) >> 1), at + 8


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DOUBLE: Final = struct.Struct("<d")
_SHORT: Final = tuple(bytes([value << 1]) for value in range(64))
_BYTES: Final = "add(SHORT[len({v})] if len({v}) < 64 else long(len({v})))\nadd({v})"
_WRITES: Final = {
    "string": "{v} = {of}.encode()\n" + _BYTES,
    "bytes": "{v} = {of}\n" + _BYTES,
    "boolean": "add(b'\\x01' if {of} else NULL)",
    "int": "{v} = {of}\nadd(SHORT[{v}] if 0 <= {v} < 64 else long({v}))",
    "long": "{v} = {of}\nadd(SHORT[{v}] if 0 <= {v} < 64 else long({v}))",
    "double": "add(double({of}))",
}
# An even first byte below 128 is the usual case, a length or a number of 0 to 63: it needs no call.
_LENGTH: Final = (
    "end = data[at]\nif end & 129:\n    at, end = length_at(data, at)\nelse:\n    at += 1\n    end = at + (end >> 1)\n"
)
_NUMBER: Final = "{to} = data[at]\nif {to} & 129:\n    {to}, at = long_at(data, at)\nelse:\n    {to} >>= 1\n    at += 1"
_READS: Final = {
    "string": _LENGTH + "{to} = data[at:end].decode()\nat = end",
    "bytes": _LENGTH + "{to} = data[at:end]\nat = end",
    "boolean": "{to} = data[at] != 0\nat += 1",
    "int": _NUMBER,
    "long": _NUMBER,
    "double": "({to},) = double_at(data, at)\nat += 8",
}
_NAMES: Final[Mapping[str, object]] = {
    "NULL": b"\x00",
    "SECOND": b"\x02",
    "SHORT": _SHORT,
    "Malformed": Malformed,
    "block_at": _block_at,
    "double": _DOUBLE.pack,
    "double_at": _DOUBLE.unpack_from,
    "length_at": _length_at,
    "long": _long,
    "long_at": _long_at,
    "moment": _moment,
    "moment_at": _moment_at,
}
