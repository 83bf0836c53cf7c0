"""How a schema may change: FULL_TRANSITIVE, each version reads what every other version wrote.

The rules are those of the Avro specification 1.12, "Schema Resolution", for the schemas that we take
(schemas/event_schemas.py), in both directions at once: *backward*, the new one reads what the old one wrote, and
*forward*, the old one reads what the new one writes. One rule is ours: data is JSON, where a field that has a default
may be missing, so that a field neither gains nor loses its default. What is left is to add and to remove fields that
have a default, and symbols of enums that have one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, cast

from schemas.checking import Schema
from schemas.event_schemas import BUILT_IN_ATTRIBUTES, PRIMITIVES, branch_of, checked_schema
from schemas.json_values import Json

__all__ = [
    "BUILT_IN_ATTRIBUTES",
    "RETIRED",
    "Change",
    "breaking_changes",
    "check_full_transitive",
    "checked_schema",
    "with_retired",
]

RETIRED: Final = "retired"  # the mark of a field that earlier versions had, and the newest has no more
_READ_AS: Final = {"int": ("long", "float", "double"), "long": ("float", "double"), "float": ("double",)}

_Record = Mapping[str, Schema]


@dataclass(frozen=True, slots=True)
class Change:
    """One change that breaks somebody: `field` such as `data.items[].sku`, and why, in words for people.

    `backward`: the new schema cannot read what the old one wrote. `forward`: the old one cannot read what the new one
    writes. One of them is set, or both. `beyond_avro`: Avro's own rules would allow it, JSON's missing fields do not.
    """

    field: str
    reason: str
    backward: bool = False
    forward: bool = False
    beyond_avro: bool = False

    def __str__(self) -> str:
        """Return it in one line."""
        return f"{self.field}: {self.reason}"


def breaking_changes(old: _Record, new: _Record, *, version: str = "the earlier version") -> list[Change]:
    """Return what `new` breaks of `old`, in the order of `new`'s fields; nothing when each reads the other.

    Both are schemas that `checked_schema` takes. `version` is how the reasons call the old one.
    """
    return [*_change_of_openness(old, new, version), *_changes(dict(old), dict(new), "data", version)]


def check_full_transitive(new: _Record, released: Mapping[int, _Record]) -> list[Change]:
    """Return what a new version breaks of every version ever released, the newest of them first, each change once."""
    found: dict[str, Change] = {}
    for version in sorted(released, reverse=True):
        for change in breaking_changes(released[version], new, version=f"version {version}"):
            found.setdefault(change.field, change)
    return list(found.values())


def with_retired(new: _Record, earlier: _Record) -> _Record:
    """Return `new` with the fields and symbols that only `earlier` has: what fits either fits it.

    `earlier` may be such a schema itself, so that one walk over all versions gathers everything. The fields are marked
    `"retired": true`; they keep their sensitivity. The two must be compatible, or the result means nothing.
    """
    return cast(_Record, _merged(dict(new), dict(earlier)))


def _change_of_openness(old: _Record, new: _Record, version: str) -> Iterator[Change]:
    """Yield what Avro knows nothing of: data of an open type may be any object."""
    if old.get("open", False) and not new.get("open", False):
        yield Change("data", f"is not open any more, but {version} takes any field", backward=True, beyond_avro=True)
    if new.get("open", False) and not old.get("open", False):
        yield Change("data", f"is open now, and {version} takes no field but its own", forward=True, beyond_avro=True)


def _changes(old: Schema, new: Schema, path: str, version: str) -> Iterator[Change]:
    old_null, old = _taken_apart(old)
    new_null, new = _taken_apart(new)
    if old_null and not new_null:
        yield Change(path, f"may not be null any more, but {version} allows null", backward=True)
    if new_null and not old_null:
        yield Change(path, f"may be null now, which {version} does not take", forward=True)
    kind, was = _kind(new), _kind(old)
    if kind != was:
        yield from _changes_of_type(was, kind, path, version)
    elif kind == "array":
        yield from _changes(_inner(old, "items"), _inner(new, "items"), f"{path}[]", version)
    elif kind == "map":
        yield from _changes(_inner(old, "values"), _inner(new, "values"), f"{path}{{}}", version)
    elif kind == "enum":
        yield from _changes_of_enum(cast(_Record, old), cast(_Record, new), path, version)
    elif kind == "record":
        yield from _changes_of_record(cast(_Record, old), cast(_Record, new), path, version)


def _changes_of_type(was: str, kind: str, path: str, version: str) -> Iterator[Change]:
    backward = kind not in _READ_AS.get(was, ())
    forward = was not in _READ_AS.get(kind, ())
    reason = f"is {kind} and was {was}: "
    if backward and forward:
        reason += f"neither this version nor {version} can read what the other writes"
    elif forward:
        reason += f"{version} cannot read a {kind}"
    else:
        reason += f"it cannot read the {was} of {version}"
    yield Change(path, reason, backward=backward, forward=forward)


def _changes_of_enum(old: _Record, new: _Record, path: str, version: str) -> Iterator[Change]:
    yield from _change_of_name(old, new, path, version)
    before, now = cast(list[str], old["symbols"]), cast(list[str], new["symbols"])
    lost = [symbol for symbol in before if symbol not in now]
    if lost and "default" not in new:
        yield Change(path, f"has no {', '.join(lost)} any more, which {version} may write", backward=True)
    more = [symbol for symbol in now if symbol not in before]
    if more and "default" not in old:
        reason = f"has a new {', '.join(more)}, which {version} cannot read: its enum has no default"
        yield Change(path, reason, forward=True)


def _changes_of_record(old: _Record, new: _Record, path: str, version: str) -> Iterator[Change]:
    yield from _change_of_name(old, new, path, version)
    before, now = _fields(old), _fields(new)
    for name, field in now.items():
        if name in before:
            yield from _changes(before[name]["type"], field["type"], f"{path}.{name}", version)
            yield from _change_of_default("default" in before[name], "default" in field, f"{path}.{name}", version)
        elif "default" not in field:
            reason = f"added as a required field, which events of {version} lack: give it a default"
            yield Change(f"{path}.{name}", reason, backward=True)
    for name, field in before.items():
        if name not in now and "default" not in field:
            yield Change(f"{path}.{name}", f"removed, but {version} requires it", forward=True)


def _change_of_default(had: bool, has: bool, path: str, version: str) -> Iterator[Change]:
    if had and not has:
        reason = f"has no default any more, but events of {version} may lack it"
        yield Change(path, reason, backward=True, beyond_avro=True)
    if has and not had:
        reason = f"has a default now, so that events may lack it, but {version} requires it"
        yield Change(path, reason, forward=True, beyond_avro=True)


def _change_of_name(old: _Record, new: _Record, path: str, version: str) -> Iterator[Change]:
    if old["name"] != new["name"]:  # without the namespace (Schema Resolution: "the same (unqualified) name")
        reason = f"the {new['type']} is named {new['name']} and was {old['name']} in {version}: keep the name"
        yield Change(path, reason, backward=True, forward=True)


def _taken_apart(schema: Schema) -> tuple[bool, Schema]:
    if not isinstance(schema, list):
        return False, schema
    _, branch = branch_of(cast(list[Json], schema))
    return True, cast(Schema, branch)


def _kind(schema: Schema) -> str:
    return schema if isinstance(schema, str) else cast(str, cast(_Record, schema)["type"])


def _inner(schema: Schema, name: str) -> Schema:
    return cast(_Record, schema)[name]


def _fields(record: _Record) -> dict[str, dict[str, Schema]]:
    return {cast(str, field["name"]): field for field in cast(list[dict[str, Schema]], record["fields"])}


def _merged(new: Schema, earlier: Schema) -> Schema:
    if isinstance(new, list):
        return [branch if branch == "null" else _merged(branch, _taken_apart(earlier)[1]) for branch in new]
    if isinstance(new, str) or new["type"] in PRIMITIVES:
        return new
    other = cast(_Record, _taken_apart(earlier)[1])
    match new["type"]:
        case "array":
            return {**new, "items": _merged(new["items"], other["items"])}
        case "map":
            return {**new, "values": _merged(new["values"], other["values"])}
        case "enum":
            symbols = cast(list[Schema], new["symbols"])
            lost = [symbol for symbol in cast(list[Schema], other["symbols"]) if symbol not in symbols]
            return {**new, "symbols": [*symbols, *lost]}
    now, before = _fields(new), _fields(other)
    kept = [
        {**field, "type": _merged(field["type"], before[name]["type"])} if name in before else field
        for name, field in now.items()
    ]
    gone = [{**field, RETIRED: cast(Schema, True)} for name, field in before.items() if name not in now]
    return {**new, "fields": cast(Schema, [*kept, *gone])}
