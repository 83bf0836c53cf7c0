"""The check of an event's data against its type's Avro schema, and the JSON of it that may leave.

What fits and may leave as it is, nearly every event, is seen by a function generated for the schema (fitting.py) and
written at once. Whatever else is walked plainly: that walk alone knows the errors, and what is to be taken out.
"""

from collections.abc import Mapping
from typing import Any, Final, cast

import orjson

from schemas.errors import InvalidInput
from schemas.fitting import Fits, fitting_of, is_clean
from schemas.json_values import Json, check_json, escaped
from schemas.masking import Masked, masking_of
from schemas.redaction import without_sensitive

Schema = str | list["Schema"] | dict[str, "Schema"]
_INT_RANGES: Final = {"int": 31, "long": 63}
_PLAIN: Final = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS
_NUL: Final = b"\\u0000"  # as orjson writes it; a backslash before a text of u0000 looks the same, and is walked


class Checker:
    """The check for one event type. Safe to share between threads; nothing is generated before the first check."""

    __slots__ = ("_fits", "_masked", "_name", "_schema")

    def __init__(self, name: str, schema: Mapping[str, Schema], *, open_ended: bool) -> None:
        """Prepare the check of `name`'s data; `open_ended` data is any JSON object."""
        self._name = name
        self._schema = None if open_ended else schema
        self._fits: Fits | None = None
        self._masked: Masked | None = None

    def check(self, data: Json, *, pointer: str) -> None:
        """Raise InvalidInput, with a pointer to the field, unless `data` fits the schema. What JSON is, is not asked.

        Avro has no way to carry a field that its schema does not name, so neither have we.
        """
        if not (self._fits or self._compiled())(data):
            self._walk(data, pointer)

    def json_of(self, data: Json, *, pointer: str) -> bytes:
        """Return `data` as JSON that may leave: checked, without sensitive fields, what is marked secret masked.

        Raises InvalidInput with a pointer below `pointer`, for what is no JSON before what does not fit the schema.
        """
        fits = self._fits or self._compiled()
        if fits(data):
            text = _written(data if self._masked is None else self._masked(data))
            if text is not None:
                return text
        check_json(data, pointer=pointer)
        kept = without_sensitive(data)
        self._walk(kept, pointer)
        return _written_plainly(kept if self._masked is None else self._masked(kept))

    def previous_json_of(self, previous: Json, *, pointer: str) -> bytes:
        """Return an object of some of the data's fields, as they were, as JSON that may leave; no field is required."""
        if self._fits is None:
            self._compiled()
        return object_json_of(previous if self._masked is None else self._masked(previous), pointer=pointer)

    def masked(self, data: Json) -> Json:
        """Return data whose secret fields are masked, as masking.py says: for what others wrote to the topic."""
        if self._fits is None:
            self._compiled()
        return data if self._masked is None else self._masked(data)

    def _walk(self, data: Json, pointer: str) -> None:
        if not isinstance(data, dict):
            raise InvalidInput(f"must be a JSON object, not {_json_name(data)}", pointer=pointer)
        if self._schema is not None:
            _check_record(data, self._schema, pointer, self._name)

    def _compiled(self) -> Fits:
        """Two threads may both do this: to the same end."""
        schema = cast(Any, self._schema)
        self._masked = None if schema is None else masking_of(schema)
        self._fits = fits = _is_clean_object if schema is None else fitting_of(schema)
        return fits


def object_json_of(value: Json, *, pointer: str) -> bytes:
    """Return a JSON object of any shape as bytes, without sensitive fields; raises InvalidInput with a pointer."""
    if not isinstance(value, dict):
        raise InvalidInput("must be a JSON object or null", pointer=pointer)
    if is_clean(value) and (text := _written(value)) is not None:
        return text
    check_json(value, pointer=pointer)
    return _written_plainly(without_sensitive(value))


def _is_clean_object(value: object) -> bool:
    return type(value) is dict and is_clean(value)


def _written(value: Json) -> bytes | None:
    """Return a value's JSON; None when orjson or a NUL in it says that it is to be walked."""
    try:
        text = orjson.dumps(value, option=_PLAIN)
    except TypeError:  # orjson's own kind of it
        return None
    return None if _NUL in text else text


def _written_plainly(value: Json) -> bytes:
    """Return the JSON of what the plain walk has taken."""
    return orjson.dumps(value, default=float)  # numpy's float64 is a float, and the only such kind that orjson leaves


def _check_record(data: dict[str, Json], schema: Mapping[str, Schema], pointer: str, where: str) -> None:
    fields = {cast(str, field["name"]): field for field in cast(list[dict[str, Schema]], schema["fields"])}
    for name in data:
        if name not in fields:
            known = ", ".join(fields)
            raise InvalidInput(f"{where} has no such field; it has {known}", pointer=f"{pointer}/{escaped(name)}")
    for name, field in fields.items():
        if name in data:
            _check(data[name], field["type"], f"{pointer}/{name}", where)
        elif "default" not in field:
            raise InvalidInput(f"is missing; {where} requires it", pointer=f"{pointer}/{name}")


def _check(value: Json, schema: Schema, pointer: str, where: str) -> None:
    if isinstance(schema, list):
        branches = [branch for branch in schema if branch != "null"]
        if value is None and len(branches) < len(schema):
            return
        _check(value, branches[0], pointer, where)
    elif isinstance(schema, str):
        if not _is_primitive(value, schema):
            raise InvalidInput(f"must be {_PRIMITIVES[schema]}, not {_json_name(value)}", pointer=pointer)
    else:
        _check_complex(value, schema, pointer, where)


def _check_complex(value: Json, schema: Mapping[str, Schema], pointer: str, where: str) -> None:
    match schema["type"]:
        case "array":
            if not isinstance(value, list):
                raise InvalidInput(f"must be an array, not {_json_name(value)}", pointer=pointer)
            for index, item in enumerate(value):
                _check(item, schema["items"], f"{pointer}/{index}", where)
        case "map" | "record":
            if not isinstance(value, dict):
                raise InvalidInput(f"must be an object, not {_json_name(value)}", pointer=pointer)
            if schema["type"] == "record":
                _check_record(value, schema, pointer, where)
            else:
                for name, item in value.items():
                    _check(item, schema["values"], f"{pointer}/{escaped(name)}", where)
        case "enum":
            symbols = cast(list[str], schema["symbols"])
            if value not in symbols:
                raise InvalidInput(f"must be one of {', '.join(symbols)}", pointer=pointer)
        case inner:
            _check(value, inner, pointer, where)


_PRIMITIVES: Final = {
    "string": "a string",
    "int": "a whole number of 32 bits",
    "long": "a whole number of 64 bits",
    "float": "a number",
    "double": "a number",
    "boolean": "true or false",
}


def _is_primitive(value: Json, schema: str) -> bool:
    if schema == "string":
        return isinstance(value, str)
    if schema == "boolean":
        return isinstance(value, bool)
    if isinstance(value, bool):
        return False
    if schema in _INT_RANGES:
        limit = 1 << _INT_RANGES[schema]
        return isinstance(value, int) and -limit <= value < limit
    return isinstance(value, int | float)


def _json_name(value: Json) -> str:
    if value is None:
        return "null"
    names = (
        (bool, "a boolean"),
        (int, "a number"),
        (float, "a number"),
        (str, "a string"),
        (list, "an array"),
    )
    return next((name for kind, name in names if isinstance(value, kind)), "an object")
