"""Hypothesis strategies: event types' schemas, pairs of which one came of the other, and data that fits."""

import copy
from typing import Any

from hypothesis import strategies as st

PRIMITIVES = ["string", "boolean", "int", "long", "float", "double"]
NAMES = ["a", "b", "c"]
DEFAULTS: dict[str, Any] = {"string": "s", "boolean": True, "int": 1, "long": 2, "float": 0.5, "double": 1.5}


def _default_of(kind: Any) -> Any:
    if isinstance(kind, list):
        return None if kind[0] == "null" else _default_of(kind[0])
    if isinstance(kind, str):
        return DEFAULTS[kind]
    if kind["type"] == "record":
        return {field["name"]: _default_of(field["type"]) for field in kind["fields"]}
    containers: dict[str, Any] = {"array": [], "map": {}, "enum": kind.get("symbols", [""])[0]}
    return {**DEFAULTS, **containers}[kind["type"]]


@st.composite
def _kinds(draw: st.DrawFn, level: int) -> Any:
    drawn = draw(
        st.sampled_from([*PRIMITIVES, *["time", "enum"], *(["array", "map", "record", "record"] * (level < 3))])
    )
    kind: Any = drawn
    match drawn:
        case "time":
            kind = {"type": "long", "logicalType": "timestamp-micros"}
        case "enum":
            symbols = draw(st.lists(st.sampled_from("ABC"), min_size=1, unique=True))
            kind = {"type": "enum", "name": draw(st.sampled_from(["E", "E", "F"])), "symbols": symbols}
            if draw(st.booleans()):
                kind["default"] = symbols[0]
        case "array":
            kind = {"type": "array", "items": draw(_kinds(level + 1))}
        case "map":
            kind = {"type": "map", "values": draw(_kinds(level + 1))}
        case "record":
            kind = draw(_records(level + 1))
    union = draw(st.sampled_from(["no", "no", "first", "last"]))
    return kind if union == "no" else ["null", kind] if union == "first" else [kind, "null"]


@st.composite
def _fields(draw: st.DrawFn, name: str, level: int) -> Any:
    field = {"name": name, "type": draw(_kinds(level))}
    if draw(st.booleans()):
        field["default"] = _default_of(field["type"])
    return field


@st.composite
def _records(draw: st.DrawFn, level: int) -> Any:
    names = draw(st.lists(st.sampled_from(NAMES), max_size=3, unique=True))
    named = draw(st.sampled_from(["R", "R", "R", "Q"]))
    return {"type": "record", "name": named, "fields": [draw(_fields(name, level)) for name in names]}


def _with_names_apart(schema: Any, path: str = "n") -> Any:
    """Put each named type in a namespace of its own: two may have one name, which tells versions apart by it."""
    if isinstance(schema, list):
        return [_with_names_apart(branch, path) for branch in schema]
    if isinstance(schema, str):
        return schema
    schema = dict(schema)
    if schema["type"] in {"record", "enum"}:
        schema["namespace"] = path
    for inner in ("items", "values"):
        if inner in schema:
            schema[inner] = _with_names_apart(schema[inner], f"{path}.i")
    if schema["type"] == "record":
        schema["fields"] = [
            {**field, "type": _with_names_apart(field["type"], f"{path}.{field['name']}")} for field in schema["fields"]
        ]
    return schema


def _records_in(schema: Any) -> list[Any]:
    if isinstance(schema, list):
        return [found for branch in schema for found in _records_in(branch)]
    if isinstance(schema, str):
        return []
    if schema["type"] == "record":
        return [schema, *(found for field in schema["fields"] for found in _records_in(field["type"]))]
    return _records_in(schema.get("items", schema.get("values", "string")))


@st.composite
def _changed(draw: st.DrawFn, schema: Any) -> Any:
    """Draw what a person may make of a schema: a field dropped, added, retyped, made optional or required."""
    schema = copy.deepcopy(schema)
    for _ in range(draw(st.integers(0, 2))):
        record = draw(st.sampled_from(_records_in(schema)))
        fields = record["fields"]
        at = draw(st.integers(0, max(len(fields) - 1, 0)))
        step = draw(st.sampled_from(["drop", "add", "retype", "default", "nullable", "symbols"]))
        if step == "add":
            free = [name for name in [*NAMES, "d", "e"] if all(field["name"] != name for field in fields)]
            fields.append(draw(_fields(free[0], 3)))
        elif fields and step == "drop":
            del fields[at]
        elif fields and step == "retype":
            fields[at] = draw(_fields(fields[at]["name"], 3))
        elif fields and step == "default":
            if fields[at].pop("default", fields) is fields:
                fields[at]["default"] = _default_of(fields[at]["type"])
        elif fields and step == "nullable" and not isinstance(fields[at]["type"], list):
            fields[at]["type"] = ["null", fields[at]["type"]]
            if "default" in fields[at]:
                fields[at]["default"] = None
        elif fields and isinstance(fields[at]["type"], dict) and fields[at]["type"]["type"] == "enum":
            symbols = fields[at]["type"]["symbols"]
            fields[at]["type"]["symbols"] = [*symbols, *(symbol for symbol in "ABCD" if symbol not in symbols)]
    return schema


schemas = _records(1).map(_with_names_apart)
pairs = st.one_of(
    st.tuples(_records(1), _records(1)),
    _records(1).flatmap(lambda schema: st.tuples(st.just(schema), _changed(schema))),
).map(lambda pair: (_with_names_apart(pair[0]), _with_names_apart(pair[1])))


@st.composite
def fitting(draw: st.DrawFn, kind: Any) -> Any:
    """Draw JSON that fits a type."""
    if isinstance(kind, list):
        return draw(fitting(draw(st.sampled_from(kind))))
    name = kind if isinstance(kind, str) else kind["type"]
    match name:
        case "array":
            return draw(st.lists(fitting(kind["items"]), max_size=2))
        case "map":
            return draw(st.dictionaries(st.sampled_from(["k", "l"]), fitting(kind["values"]), max_size=2))
        case "enum":
            return draw(st.sampled_from(kind["symbols"]))
        case "record":
            wanted = [each for each in kind["fields"] if "default" not in each or draw(st.booleans())]
            return {each["name"]: draw(fitting(each["type"])) for each in wanted}
    return None if name == "null" else DEFAULTS[name]
