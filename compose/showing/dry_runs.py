"""Dry runs for people: how many match, of which types, and the first of them before and after."""

import json
from typing import Any, Final

from rich.text import Text

from compose.asking import Body
from compose.showing.tables import console, exact_time_of, number_of, print_fields, print_table
from compose.speakable import speakable

_STOPPED: Final = {
    "end": "all there are",
    "limit": "as many as --limit says",
    "time": "after 5 s; there are more",
}


def print_dry_run(found: Body) -> None:
    """Print what a dry run found."""
    stopped = _STOPPED.get(found["stopped_by"], found["stopped_by"])
    print_fields(
        [
            ("looked at", f"{number_of(found['looked_at'])} events ({stopped})"),
            ("oldest", exact_time_of(found["oldest_at"])),
            ("match", number_of(found["matched"])),
            ("failed", number_of(found["failed"]) if found["failed"] else None),
        ]
    )
    if found["types"]:
        console().print()
        rows = [(each["type"], number_of(each["looked_at"]), number_of(each["matched"])) for each in found["types"]]
        print_table(("TYPE", "LOOKED AT", "MATCH"), rows)
    for each in found["errors"]:
        _print(f"\n{each['event_id']}  {each['type']}  the filter failed: {each['error']}", style="yellow")
    for each in found["examples"]:
        _print(f"\n{each['event_id']}  {each['type']}  {exact_time_of(each['created_at'])}", style="bold")
        if each["before"] == each["after"]:
            _print_body("sent as it is", each["after"], each["after_bytes"])
        else:
            _print_body("before", each["before"], each["before_bytes"])
            _print_body("after", each["after"], each["after_bytes"])


def _print_body(title: str, body: Any, size: int) -> None:
    _print(f"  {title}, {number_of(size)} bytes")
    if body is None:
        _print("    too long to be shown")
        return
    for line in json.dumps(body, ensure_ascii=False, indent=2).split("\n"):
        _print(f"    {line}")


def _print(text: str, *, style: str = "") -> None:
    for line in text.split("\n"):
        console().print(Text(speakable(line), style=style), soft_wrap=True)
