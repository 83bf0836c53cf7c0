"""Which fields of an event's data are personal or secret, as their Avro schema marks them (`"sensitivity"`).

`personal`: who a person is or how to reach them, such as names, addresses, phone numbers. Subscribers may have them
masked. `secret`: a text that must not leave; it is replaced by `***` wherever the event goes.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, Final, cast

Path = tuple[str, ...]  # names from data on; `*` stands for each item of an array and each value of a map

EACH: Final = "*"
SENSITIVITY: Final = "sensitivity"
_PLAIN: Final = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string", "enum", "fixed"})


class Sensitivity(StrEnum):
    """What a field is marked as."""

    PERSONAL = "personal"
    SECRET = "secret"  # noqa: S105 - a word, not one


def marked_paths(schema: object, mark: Sensitivity) -> tuple[Path, ...]:
    """Return where an Avro record's schema marks a field so, in the schema's order.

    What stands within a marked field is not listed beside it: the whole value is meant. Raises ValueError for a record
    that contains itself, since no list of paths would name all of it, and for a type that nobody knows.
    """
    return tuple(_Walk(mark).marked(schema, (), ()))


def pointer_of(path: Path) -> str:
    """Return a path as people read it, like a JSON pointer: `/people/*/email`."""
    return "".join(f"/{part}" for part in path)


class _Walk:
    def __init__(self, mark: Sensitivity) -> None:
        self._mark = mark
        self._named: dict[str, object] = {}

    def marked(self, schema: object, at: Path, within: tuple[str, ...]) -> Iterator[Path]:
        """Yield what is marked below `at`; `within` are the names of the records around it."""
        match schema:
            case str():
                if schema not in _PLAIN:
                    yield from self.marked(self._of_name(schema, within), at, within)
            case list():
                for branch in schema:
                    yield from self.marked(branch, at, within)
            case {"type": "record"}:
                yield from self._of_record(cast(Mapping[str, Any], schema), at, within)
            case {"type": "array", "items": inner} | {"type": "map", "values": inner}:
                yield from self.marked(inner, (*at, EACH), within)
            case {"type": inner}:
                yield from self.marked(inner, at, within)

    def _of_record(self, record: Mapping[str, Any], at: Path, within: tuple[str, ...]) -> Iterator[Path]:
        name = str(record.get("name"))
        self._named[name] = record
        for field in record.get("fields", ()):
            here = (*at, field["name"])
            if field.get(SENSITIVITY) == self._mark:
                yield here
            else:
                yield from self.marked(field["type"], here, (*within, name))

    def _of_name(self, name: str, within: tuple[str, ...]) -> object:
        if name in within:
            raise ValueError(f"the record {name} contains itself")
        if name not in self._named:
            raise ValueError(f"no type is called {name}")
        return self._named[name]
