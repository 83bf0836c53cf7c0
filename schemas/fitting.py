"""Whether JSON fits an Avro schema and may leave as it is, asked of a function generated once per schema.

It only says yes or no: what is no in any doubt is walked again by schemas/checking.py, which says why, or takes out
what must not leave. A yes means: the data fits, holds no name that sounds like a secret (names of the schema are judged
here, once) and nothing that orjson would write as something else. Lone surrogates, integers beyond 64 bits and names
that are no plain text are left to orjson, which refuses them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from textwrap import indent
from typing import Any, Final

from schemas.json_values import DEEPEST
from schemas.redaction import is_sensitive, is_sensitive_cached

Fits = Callable[[object], bool]
Schema = Any  # parsed JSON: text, list or object


def fitting_of(schema: Mapping[str, Schema]) -> Fits:
    """Return what says whether data fits a record's schema; raises NotImplementedError for what we take in none."""
    code = _Code()
    name = code.function_for(schema)
    exec(compile("\n".join(code.functions), "<fits>", "exec"), code.names)  # noqa: S102 - our own text; names are quoted
    found: Fits = code.names[name]
    return found


def is_clean(value: object, level: int = 1) -> bool:
    """Return whether a value is JSON of any shape, 100 levels at most, without a name that sounds like a secret."""
    kind = type(value)
    if kind is str or kind is int or kind is bool or value is None:
        return True
    if kind is float:
        return value - value == 0.0  # type: ignore[no-any-return,operator] # not so of NaN and infinities
    if level > DEEPEST:
        return False
    if kind is dict:
        for name, item in value.items():  # type: ignore[attr-defined] # a dict
            if type(name) is not str or is_sensitive_cached(name) or not is_clean(item, level + 1):
                return False
        return True
    return (kind is list or kind is tuple) and all(is_clean(item, level + 1) for item in value)  # type: ignore[attr-defined] # an array


@dataclass
class _Code:
    """Functions under way. Each object and array has one: Python nests no more than 20 loops in a function."""

    functions: list[str] = field(default_factory=list)
    names: dict[str, Any] = field(default_factory=lambda: {"sensitive": is_sensitive_cached, "MISSING": object()})

    def function_for(self, schema: Schema) -> str:
        """Add the function of an object's or array's schema; return its name."""
        lines = self._lines(schema)
        name = f"fits{len(self.functions)}"
        self.functions.append(f"def {name}(found):\n" + indent("\n".join([*lines, "return True"]), "    "))
        return name

    def _lines(self, schema: Schema) -> list[str]:
        match schema["type"]:
            case "record":
                return self._record(schema)
            case "array":
                inner = indent("\n".join(self._value(schema["items"], "item")), "    ")
                return ["if type(found) is not list:\n    return False", f"for item in found:\n{inner}"]
            case _:
                inner = indent("\n".join(self._value(schema["values"], "item")), "    ")
                return [
                    "if type(found) is not dict:\n    return False",
                    "for name, item in found.items():",
                    "    if type(name) is not str or sensitive(name):\n        return False",
                    inner,
                ]

    def _record(self, schema: Schema) -> list[str]:
        fields = [each for each in schema["fields"] if not is_sensitive(each["name"])]  # their presence is a no
        known = f"NAMES{len(self.names)}"
        self.names[known] = frozenset(each["name"] for each in fields)
        lines = [f"if type(found) is not dict or not {known}.issuperset(found):\n    return False"]
        if len(fields) < len(schema["fields"]):
            required = [each for each in schema["fields"] if each not in fields and "default" not in each]
            lines += ["return False"] if required else []
        for each in fields:
            lines += self._field(each)
        return lines

    def _field(self, each: Schema) -> list[str]:
        name, nullable = each["name"], _is_nullable(each["type"])
        if "default" not in each and nullable:
            return [f"value = found.get({name!r}, MISSING)", *self._value(each["type"], "value")]
        if "default" not in each or nullable:  # absent is None, which fits where it is a default
            return [f"value = found.get({name!r})", *self._value(each["type"], "value")]
        block = indent("\n".join(self._value(each["type"], "value")), "    ")
        return [f"value = found.get({name!r}, MISSING)", f"if value is not MISSING:\n{block}"]

    def _value(self, schema: Schema, of: str) -> list[str]:
        if isinstance(schema, list):
            branches = [branch for branch in schema if branch != "null"]
            lines = self._value(branches[0], of)
            if not _is_nullable(schema):
                return lines
            return [f"if {of} is not None:\n" + indent("\n".join(lines), "    ")]
        if isinstance(schema, str):
            if schema not in _UNFIT:
                raise NotImplementedError(f"no check for {schema}")
            return [f"if {_UNFIT[schema].format(of=of)}:\n    return False"]
        if schema["type"] in _WITHIN:
            return [f"if not {self.function_for(schema)}({of}):\n    return False"]
        if schema["type"] == "enum":
            symbols = f"SYMBOLS{len(self.names)}"
            self.names[symbols] = frozenset(schema["symbols"])
            return [f"if type({of}) is not str or {of} not in {symbols}:\n    return False"]
        return self._value(schema["type"], of)


def _is_nullable(schema: Schema) -> bool:
    return isinstance(schema, list) and "null" in schema


_WITHIN: Final = {"record", "array", "map"}
_UNFIT: Final = {
    "string": "type({of}) is not str",
    "boolean": "type({of}) is not bool",
    "int": f"type({{of}}) is not int or not {-(1 << 31)} <= {{of}} < {1 << 31}",
    "long": f"type({{of}}) is not int or not {-(1 << 63)} <= {{of}} < {1 << 63}",
    "float": "({of} - {of} != 0.0) if type({of}) is float else type({of}) is not int",  # of NaN and infinities
    "double": "({of} - {of} != 0.0) if type({of}) is float else type({of}) is not int",
}
