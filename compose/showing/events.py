"""Events for people."""

import json
import shutil
import sys
from collections.abc import Sequence

from rich.text import Text

from compose.asking import Body
from compose.showing.tables import (
    coloured,
    console,
    exact_time_of,
    number_of,
    print_fields,
    print_table,
    time_of,
    two_lines,
)
from compose.speakable import speakable


def print_events(events: Sequence[Body]) -> None:
    """Print a table of events."""
    rows = [
        (each["id"], two_lines(each["type"], each["source_id"] or ""), time_of(each["created_at"]), each["key"] or "")
        for each in events
    ]
    print_table(("EVENT", "TYPE, SOURCE ID", "CREATED (UTC)", "KEY"), rows, folding=[1, 3])


def print_event(event: Body) -> None:
    """Print one event, and what became of it for each subscription."""
    print_fields(
        [
            ("id", event["id"]),
            ("type", event["type"]),
            ("created", exact_time_of(event["created_at"])),
            ("key", event["key"]),
            ("source id", event["source_id"]),
        ]
    )
    out = console()
    for name in ("data", "previous", "metadata"):
        if event[name]:
            out.print(Text(name, style="dim"))
            written = json.dumps(event[name], ensure_ascii=False, indent=2)
            out.print(Text(speakable(written)), soft_wrap=True)
    out.print()
    if not event["deliveries"]:
        out.print("no subscription wanted it, or none of its deliveries is logged yet")
        return
    rows = [
        (
            each["delivery_id"],
            each["subscription_id"],
            two_lines(_state(each), time_of(each["finished_at"]) if each["finished_at"] else ""),
        )
        for each in event["deliveries"]
    ]
    print_table(("DELIVERY", "SUBSCRIPTION", "STATE, FINISHED"), rows, folding=[2])


def print_event_line(event: Body) -> None:
    """Print an event on one line: on a terminal as much of its data as fits, elsewhere all of it."""
    data = json.dumps(event["data"], ensure_ascii=False, separators=(",", ":"))
    key = f"{event['key']}  " if event["key"] else ""
    line = speakable(f"{exact_time_of(event['created_at'])}  {event['id']}  {event['type']}  {key}{data}", keep="")
    if sys.stdout.isatty():
        line = line[: max(shutil.get_terminal_size().columns, 100)]
    print(line, flush=True)


def _state(delivery: Body) -> Text:
    came_to = delivery["status"] or delivery["error_kind"] or ""
    return coloured(delivery["state"]).append(f" {number_of(delivery['attempt_count'])}× {came_to}".rstrip())
