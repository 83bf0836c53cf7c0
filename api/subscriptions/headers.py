"""The subscriber's own request headers: which names and values may be set, and how they are shown."""

import re
from collections.abc import Mapping
from typing import Final

from schemas.errors import InvalidInput
from schemas.header_names import checked_token

MOST_HEADERS: Final = 20
LONGEST_VALUE: Final = 4096
MASK: Final = "***"  # instead of every value: most of them are credentials
_NOTHING_KEPT: Final = f"{MASK} stands for a value that is kept, and there is none of this name"

_VALUE: Final = re.compile(r"[!-~](?:[ \t!-~]*[!-~])?")  # RFC 9110, 5.5, without the obsolete bytes above ASCII
_OUR_PREFIXES: Final = ("webhook-", "hookline-")


def checked_header(name: str, value: str) -> None:
    """Raise InvalidInput, without the value, unless a subscriber may send this header with each webhook."""
    if checked_token(name).lower().startswith(_OUR_PREFIXES):
        raise InvalidInput(f"{name} is set by Hookline or by HTTP itself; choose another name")
    if not _VALUE.fullmatch(value) or len(value) > LONGEST_VALUE:
        raise InvalidInput(f"a header's value is 1 to {LONGEST_VALUE:,} printable ASCII characters, no space around it")


def check_headers(headers: Mapping[str, str]) -> None:
    """Raise InvalidInput when there are too many, or two whose names differ in case only."""
    if len(headers) > MOST_HEADERS:
        raise InvalidInput(f"at most {MOST_HEADERS} headers, these are {len(headers)}")
    if len({name.lower() for name in headers}) < len(headers):
        raise InvalidInput("header names are the same in upper and lower case: give each one once")


def merged(kept: Mapping[str, str], change: Mapping[str, str | None]) -> dict[str, str]:
    """Return `kept` with a merge patch (RFC 7396) applied: null removes a header, the mask leaves it as it is."""
    result = {name.lower(): (name, value) for name, value in kept.items()}
    for name, value in change.items():
        if value is None:
            result.pop(name.lower(), None)
        elif value != MASK:
            result[name.lower()] = (name, value)
        elif name.lower() not in result:
            raise InvalidInput(_NOTHING_KEPT)
    headers = dict(result.values())
    check_headers(headers)
    return headers


def replaced(kept: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """Return `given`, the mask replaced by the value that is kept under the same name."""
    values = {name.lower(): value for name, value in kept.items()}
    for name, value in given.items():
        if value == MASK and name.lower() not in values:
            raise InvalidInput(_NOTHING_KEPT)
    return {name: values[name.lower()] if value == MASK else value for name, value in given.items()}
