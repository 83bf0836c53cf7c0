"""Quarantined records for people: the bytes as text where they are text, in hexadecimal where not."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.text import Text

from compose.asking import Body
from compose.showing.tables import (
    console,
    exact_time_of,
    number_of,
    print_fields,
    print_table,
    time_of,
    two_lines,
)
from compose.speakable import speakable

_BYTES_A_LINE: Final = 16
_MOST_LINES: Final = 64


def print_records(records: Sequence[Body]) -> None:
    """Print a table of quarantined records."""
    rows = [
        (
            each["id"],
            time_of(each["at"]),
            two_lines(each["stage"], "retried" if each["retried_at"] else ""),
            two_lines(_place(each), each["error_class"]),
        )
        for each in records
    ]
    print_table(("ID", "AT (UTC)", "STAGE", "RECORD, ERROR"), rows, folding=[3])


def print_record(record: Body) -> None:
    """Print one record with its headers, key and value."""
    print_fields(
        [
            ("id", record["id"]),
            ("at", exact_time_of(record["at"])),
            ("record", _place(record)),
            ("stage", record["stage"]),
            ("error", f"{record['error_class']}: {record['error']}"),
            ("retried", exact_time_of(record["retried_at"])),
            *((f"header {header['name']}", str(header["value"])) for header in record["headers"]),
        ]
    )
    for name in ("key", "value"):
        payload = record[name]
        about = "none" if payload is None else f"{number_of(payload['bytes'])} bytes"
        print_fields([(name, about)])
        if payload is not None:
            console().print(Text(readable(payload)), soft_wrap=True)


def readable(payload: Mapping[str, Any]) -> str:
    """Return a record's bytes as text, or as a dump of their first kilobyte; says when the API cut them."""
    raw = base64.b64decode(payload["data"])
    cut = "\n… cut here" if payload["truncated"] else ""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = ""
    if text and all(character.isprintable() or character in "\r\n\t" for character in text):
        return speakable(text) + cut
    lines = [_dumped(raw, at) for at in range(0, len(raw), _BYTES_A_LINE)]
    left = len(lines) - _MOST_LINES
    return "\n".join([*lines[:_MOST_LINES], *([f"… {left:,} lines more: --json has them"] if left > 0 else [])]) + cut


def _dumped(raw: bytes, at: int) -> str:
    piece = raw[at : at + _BYTES_A_LINE]
    text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in piece)
    return f"{at:08x}  {piece.hex(' '):<{_BYTES_A_LINE * 3}} {text}"


def _place(record: Body) -> str:
    return f"{record['topic']}[{record['partition']}]@{record['offset']}"
