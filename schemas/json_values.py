"""What JSON may hold here, checked before it is written: what would arrive changed, or not at all, is refused.

orjson writes NaN as null and takes dataclasses, enumerations, UUIDs and datetimes, which redaction does not look into.
"""

import math
from typing import Final

from schemas.errors import InvalidInput

Json = dict[str, "Json"] | list["Json"] | str | int | float | bool | None

DEEPEST: Final = 100  # levels of objects and arrays; orjson writes 254, and what walks values here recurses
TOO_DEEP: Final = f"nests deeper than {DEEPEST} levels"
_LEAST, _GREATEST = -(1 << 63), (1 << 64) - 1  # what orjson writes

_Fault = tuple[list[str], str]  # where, innermost name first, and what


def check_json(value: object, *, pointer: str) -> None:
    """Raise InvalidInput, with a pointer below `pointer`, unless `value` is JSON that arrives as it is.

    Refused are NaN and infinities, integers beyond 64 bits, lone surrogates, NUL (PostgreSQL keeps none), names that
    are no strings, more than 100 levels, and every Python object but dict, list, tuple, str, int, float, bool, None.
    """
    fault = _fault_of(value, 1)
    if fault is not None:
        path, detail = fault
        raise InvalidInput(detail, pointer=pointer + "".join(f"/{escaped(name)}" for name in reversed(path)))


def escaped(name: str) -> str:
    """Return a field's name as a JSON pointer has it (RFC 6901, 3)."""
    return name.replace("~", "~0").replace("/", "~1")


def _fault_of(value: object, level: int) -> _Fault | None:
    if isinstance(value, str):
        return _no_fault_or(_fault_of_text(value))
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, int):
        return None if _LEAST <= value <= _GREATEST else ([], "is beyond 64 bits")
    if isinstance(value, float):
        return None if math.isfinite(value) else ([], "is NaN or infinite, which JSON cannot carry")
    if isinstance(value, dict | list | tuple):
        return ([], TOO_DEEP) if level > DEEPEST else _fault_within(value, level)
    return [], f"is no JSON value but a Python {type(value).__name__}"


def _fault_within(value: dict[object, object] | list[object] | tuple[object, ...], level: int) -> _Fault | None:
    if not isinstance(value, dict):
        for index, item in enumerate(value):
            if (fault := _fault_of(item, level + 1)) is not None:
                fault[0].append(str(index))
                return fault
        return None
    for name, item in value.items():
        if type(name) is not str:
            return [], f"has a field whose name is no string but a Python {type(name).__name__}"
        if (flaw := _fault_of_text(name)) is not None:
            return [], f"has a field whose name {flaw}"  # a pointer to it could not be written either
        if (fault := _fault_of(item, level + 1)) is not None:
            fault[0].append(name)
            return fault
    return None


def _no_fault_or(flaw: str | None) -> _Fault | None:
    return None if flaw is None else ([], flaw)


def _fault_of_text(text: str) -> str | None:
    if "\x00" in text:
        return "holds NUL (U+0000), which nothing behind us can keep"
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return "holds a lone surrogate, which UTF-8 cannot carry"
    return None
