"""What Avro an event type's data may be described by: a part of the Avro specification 1.12 that JSON carries as it is.

https://avro.apache.org/docs/1.12.0/specification/. Left out are bytes and fixed (JSON has none), other unions than of
null with one type, aliases, and references to a named type: a schema is a tree, and what walks it comes to an end.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, cast

import orjson

from schemas.catalogue import EventType
from schemas.checking import Schema
from schemas.errors import InvalidInput
from schemas.json_values import Json, check_json, escaped
from schemas.redaction import is_sensitive_cached

PRIMITIVES: Final = ("string", "boolean", "int", "long", "float", "double")
LARGEST_SCHEMA_BYTES: Final = 64 * 1024
MOST_FIELDS: Final = 500  # of all records together
MOST_SYMBOLS: Final = 500
DEEPEST_SCHEMA: Final = 10  # records, arrays and maps within each other
BUILT_IN_ATTRIBUTES: Final = frozenset(
    {"category", "example", "open", "reserved", "owner", "state", "version", "ordering_key"}
)  # what the files in event_types/ say in the schema, and an organization beside it

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_NAMESPACE: Final = re.compile(rf"{_NAME.pattern}(\.{_NAME.pattern}){{0,9}}")
_ATTRIBUTES: Final = {
    **dict.fromkeys(PRIMITIVES, frozenset({"type"})),
    "long": frozenset({"type", "logicalType"}),
    "array": frozenset({"type", "items"}),
    "map": frozenset({"type", "values"}),
    "enum": frozenset({"type", "name", "namespace", "doc", "symbols", "default"}),
    "record": frozenset({"type", "name", "namespace", "doc", "fields"}),
}
_OF_A_FIELD: Final = frozenset({"name", "type", "doc", "default", "sensitivity"})
_TYPES: Final = f"{', '.join(_ATTRIBUTES)}, or a union of null with one of them"


def checked_schema(
    value: Json,
    *,
    pointer: str = "/schema",
    more: frozenset[str] = frozenset(),
    of_fields: frozenset[str] = frozenset(),
) -> Mapping[str, Schema]:
    """Return `value` when it is an Avro schema that event types may have.

    That is a record of string, boolean, int, long (also `timestamp-micros`), float, double, array, map, enum, record,
    and unions of null with one of these. A field may be marked `"sensitivity": "personal"`, or `"secret"` when it is a
    string. At most 64 KiB of JSON, 500 fields, 10 levels. `more` names attributes that the outermost record may have
    besides, `of_fields` those that fields may. Raises InvalidInput, with a pointer into the schema and what to do.
    """
    check_json(value, pointer=pointer)
    if not isinstance(value, dict) or value.get("type") != "record":
        raise InvalidInput('must be an Avro record: {"type": "record", "name": …, "fields": […]}', pointer=pointer)
    size = len(orjson.dumps(value))
    if size > LARGEST_SCHEMA_BYTES:
        raise InvalidInput(f"has {size:,} bytes; a schema has at most {LARGEST_SCHEMA_BYTES:,}", pointer=pointer)
    _Checking(more, _OF_A_FIELD | of_fields).named(value, pointer, namespace="", level=1)
    return cast(Mapping[str, Schema], value)


@dataclass(slots=True)
class _Checking:
    """One schema being checked: the names it has used, and how many fields it has."""

    more: frozenset[str]
    of_fields: frozenset[str]
    names: set[str] = field(default_factory=set)
    fields: int = 0

    def type_at(self, value: Json, pointer: str, namespace: str, level: int) -> None:
        """Check a type: a name, a union or an object."""
        if isinstance(value, list):
            at, branch = branch_of(value, pointer)
            self.type_at(branch, f"{pointer}/{at}", namespace, level)
        elif isinstance(value, str):
            if value not in PRIMITIVES:
                raise InvalidInput(_no_type(value), pointer=pointer)
        elif isinstance(value, dict):
            self.object_at(value, pointer, namespace, level)
        else:
            raise InvalidInput(f"is no Avro type: write one of {_TYPES}", pointer=pointer)

    def object_at(self, value: dict[str, Json], pointer: str, namespace: str, level: int) -> None:
        """Check a type that is written as an object."""
        kind = value.get("type")
        if not isinstance(kind, str) or kind not in _ATTRIBUTES:
            raise InvalidInput(_no_type(kind), pointer=f"{pointer}/type")
        if level > DEEPEST_SCHEMA:
            raise InvalidInput(f"nests deeper than {DEEPEST_SCHEMA} levels: make it flatter", pointer=pointer)
        if kind in {"record", "enum"}:
            self.named(value, pointer, namespace=namespace, level=level)
            return
        _check_attributes(value, _ATTRIBUTES[kind], pointer, f"{kind} types")
        if "logicalType" in value and value["logicalType"] != "timestamp-micros":
            raise InvalidInput("must be timestamp-micros, or left out", pointer=f"{pointer}/logicalType")
        inner = {"array": "items", "map": "values"}.get(kind)
        if inner is not None:
            if inner not in value:
                raise InvalidInput(f"is missing: the type of the {kind}'s {inner}", pointer=f"{pointer}/{inner}")
            self.type_at(value[inner], f"{pointer}/{inner}", namespace, level + 1)

    def named(self, value: dict[str, Json], pointer: str, *, namespace: str, level: int) -> None:
        """Check a record or an enum."""
        kind = cast(str, value["type"])
        extra = self.more if level == 1 else frozenset()
        _check_attributes(value, _ATTRIBUTES[kind] | extra, pointer, f"{kind}s")
        _check_doc(value, pointer)
        own = value.get("namespace", namespace)
        if not isinstance(own, str) or (own and not _NAMESPACE.fullmatch(own)):
            raise InvalidInput("must be names joined by dots, such as com.example", pointer=f"{pointer}/namespace")
        name = _name_of(value, pointer)
        full = f"{own}.{name}"
        if full in self.names:
            detail = f"{name!r} names two types of this schema: give each a name of its own"
            raise InvalidInput(detail, pointer=f"{pointer}/name")
        self.names.add(full)
        if kind == "enum":
            _check_symbols(value, pointer)
        else:
            self.fields_of(value, pointer, own, level)

    def fields_of(self, value: dict[str, Json], pointer: str, namespace: str, level: int) -> None:
        """Check a record's fields."""
        fields = value.get("fields")
        if not isinstance(fields, list):
            raise InvalidInput("must be an array of fields, each with a name and a type", pointer=f"{pointer}/fields")
        names: set[str] = set()
        for at, each in enumerate(fields):
            here = f"{pointer}/fields/{at}"
            if not isinstance(each, dict):
                raise InvalidInput('must be a field: {"name": …, "type": …}', pointer=here)
            _check_attributes(each, self.of_fields, here, "fields")
            _check_doc(each, here)
            name = _name_of(each, here)
            if name in names:
                raise InvalidInput(f"{name!r} is there twice: a record's fields differ in name", pointer=f"{here}/name")
            names.add(name)
            self.fields += 1
            if self.fields > MOST_FIELDS:
                raise InvalidInput(f"is one field too many: a schema has at most {MOST_FIELDS}", pointer=here)
            if "type" not in each:
                raise InvalidInput(f"is missing: write one of {_TYPES}", pointer=f"{here}/type")
            self.type_at(each["type"], f"{here}/type", namespace, level + 1)
            if "default" in each:
                _check_default(each["default"], each["type"], here)
            elif is_sensitive_cached(name):
                detail = (
                    f"fields called {name!r} are removed from every event, so it cannot be required: name it otherwise"
                )
                raise InvalidInput(detail, pointer=f"{here}/name")
            _check_sensitivity(each, here)


def branch_of(union: list[Json], pointer: str = "") -> tuple[int, Json]:
    """Return where in a union the type besides null stands, and the type. Raises InvalidInput for any other union."""
    others = [(at, branch) for at, branch in enumerate(union) if branch != "null"]
    if len(union) != 2 or len(others) != 1 or isinstance(others[0][1], list):
        raise InvalidInput('must be a union of null with one type, such as ["null", "string"]', pointer=pointer)
    return others[0]


def _no_type(kind: Json) -> str:
    if kind == "null":
        return 'null goes with another type: ["null", "string"], default null'
    if isinstance(kind, str) and kind in {"bytes", "fixed"}:
        return f"JSON carries no {kind}: write string, and Base64 in it"
    shown = repr(kind)[:60] if isinstance(kind, str) else "this"
    return f"{shown} is no type we take: write one of {_TYPES}; a record or an enum is written out where it is used"


def _check_attributes(value: Mapping[str, Json], known: frozenset[str], pointer: str, of: str) -> None:
    for name in value:
        if name not in known:
            detail = f"is no attribute of {of} here; they have {', '.join(sorted(known))}"
            raise InvalidInput(detail, pointer=f"{pointer}/{escaped(name)}")


def _check_doc(value: Mapping[str, Json], pointer: str) -> None:
    if not isinstance(value.get("doc", ""), str):
        raise InvalidInput("must be text", pointer=f"{pointer}/doc")


def _name_of(value: Mapping[str, Json], pointer: str) -> str:
    name = value.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        detail = "must be a name: a letter or _, then up to 99 letters, digits and _"
        raise InvalidInput(detail, pointer=f"{pointer}/name")
    return name


def _check_symbols(value: Mapping[str, Json], pointer: str) -> None:
    symbols = value.get("symbols")
    here = f"{pointer}/symbols"
    if not isinstance(symbols, list) or not 1 <= len(symbols) <= MOST_SYMBOLS:
        raise InvalidInput(f"must be an array of 1 to {MOST_SYMBOLS} names", pointer=here)
    for at, symbol in enumerate(symbols):
        if not isinstance(symbol, str) or not _NAME.fullmatch(symbol):
            raise InvalidInput("must be a name: a letter or _, then letters, digits and _", pointer=f"{here}/{at}")
        if symbol in symbols[:at]:
            raise InvalidInput(f"{symbol!r} is there twice", pointer=f"{here}/{at}")
    if "default" in value and value["default"] not in symbols:
        raise InvalidInput("must be one of the symbols", pointer=f"{pointer}/default")


def _check_default(default: Json, kind: Json, pointer: str) -> None:
    first = kind[0] if isinstance(kind, list) else kind
    if first == "null":
        if default is not None:
            detail = "must be null, the first type of the union: or put the other type first"
            raise InvalidInput(detail, pointer=f"{pointer}/default")
        return
    one = {"type": "record", "name": "one", "fields": [{"name": "default", "type": cast(Schema, first)}]}
    schema = cast(Mapping[str, Schema], one)
    alone = EventType(name="the type", category="", description="", schema=schema, example={}, open_ended=False)
    alone.check({"default": default}, pointer=pointer)


def _check_sensitivity(value: Mapping[str, Json], pointer: str) -> None:
    mark = value.get("sensitivity", "personal")
    if mark not in ("personal", "secret"):
        raise InvalidInput("must be personal or secret, or left out", pointer=f"{pointer}/sensitivity")
    kinds = list(_alternatives(value["type"]))
    if mark == "secret" and any(kind not in ("string", "null", {"type": "string"}) for kind in kinds):
        detail = "secret is for a string, or null with a string: its value is shown as ***"
        raise InvalidInput(detail, pointer=f"{pointer}/sensitivity")


def _alternatives(kind: Json) -> Iterator[Json]:
    yield from kind if isinstance(kind, list) else [kind]
