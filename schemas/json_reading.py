"""From bytes to JSON (RFC 8259, UTF-8), refusing what would come out changed or what nobody could send on."""

import json
import math
import re
from typing import Final, NoReturn, cast

import orjson

from schemas.errors import InvalidInput
from schemas.json_values import Json

# What orjson would take and change: it reads a whole number beyond 64 bits as a double.
_LONG_NUMBER: Final = re.compile(rb"[0-9]{19}")


def parsed(raw: bytes) -> Json:
    """Return the JSON value in `raw`.

    Raises InvalidInput for what is none, also for NaN, Infinity and numbers too large for a double, which Python would
    take. What `check_json` refuses may still be in it: whole numbers beyond 64 bits, NUL, lone surrogates, any depth
    that Python's own reader takes.
    """
    if _LONG_NUMBER.search(raw) is None:
        try:
            return cast(Json, orjson.loads(raw))
        except orjson.JSONDecodeError:
            pass  # the slow one says why, and takes lone surrogates, so that they can be pointed at
    try:
        return cast(Json, json.loads(raw.decode(), parse_constant=_refuse_constant, parse_float=_finite))
    except UnicodeDecodeError as error:
        raise InvalidInput(f"is not UTF-8: byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise InvalidInput(f"is not JSON: {error.msg} at line {error.lineno} column {error.colno}") from None
    except RecursionError:
        raise InvalidInput("is nested too deep to be read") from None
    except ValueError as error:  # ours below, and a whole number of more than 4,300 digits
        raise InvalidInput(f"holds a number that cannot be kept: {str(error)[:80]}") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError("it is too large for a double")
    return number
