"""The API's JSON as it is. Not orjson: whole numbers beyond 64 bits, which an event's data may hold, stay whole."""

import json
import sys
import textwrap
from collections.abc import Iterable
from typing import Any


def print_body(body: Any) -> None:
    """Print what the API answered."""
    print(_written(body))


def print_bodies(bodies: Iterable[Any]) -> None:
    """Print an array, each element as soon as it is there: a long list is never held whole."""
    opening = "["
    for body in bodies:
        print(f"{opening}\n{textwrap.indent(_written(body), '  ')}", end="")
        opening = ","
    print("[]" if opening == "[" else "\n]")


def print_body_line(body: Any) -> None:
    """Print one body on one line, and let whoever reads the other end have it now."""
    print(json.dumps(body, ensure_ascii=False, separators=(",", ":")))
    sys.stdout.flush()


def _written(body: Any) -> str:
    return json.dumps(body, ensure_ascii=False, indent=2)
