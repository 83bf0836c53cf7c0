"""docs/event-types.md, written from the catalogue: what may happen, by category, with fields, marks and examples.

`python -m compose.event_types_page` (`make catalogue`) writes it; a test holds the two to each other.
"""

import json
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Final

from compose.described_fields import described_fields
from schemas.catalogue import EventType, EventTypeState, catalogue

DOCUMENT: Final = Path(__file__).parents[1] / "docs" / "event-types.md"
_HEAD: Final = """\
# Event types

Written by `make catalogue` from `schemas/event_types/`. {count} types are built in; `hookline schemas list` and
`GET /api/v1/event-types` have them too, with those that an organization defined. How to add one:
[adding-event-types.md](adding-event-types.md).

A field is *required*, or may be left out or null. *personal* ones say who somebody is: a subscription can have them
masked. *secret* ones are replaced by `***` before an event leaves. The *ordering key* is the field that orders events
whose publisher names no key.
"""


def page(event_types: Iterable[EventType] | None = None) -> str:
    """Return the page, of the built-in types unless others are given."""
    described = list(catalogue().values() if event_types is None else event_types)
    ordered = sorted(described, key=lambda each: (each.category, each.name))
    parts = [_HEAD.format(count=len(described)), _contents(ordered)]
    for category, types in groupby(ordered, key=lambda each: each.category):
        parts += [f"## {category}\n", *map(_section, types)]
    return "\n".join(parts)


def _contents(ordered: Iterable[EventType]) -> str:
    rows = ["| category | types |", "|---|---|"]
    for category, types in groupby(ordered, key=lambda each: each.category):
        links = ", ".join(f"[{each.name}](#{_anchor(each.name)})" for each in types)
        rows.append(f"| {category} | {links} |")
    return "\n".join([*rows, ""])


def _anchor(name: str) -> str:
    return name.replace(".", "")  # as GitHub makes them of headings


def _section(event_type: EventType) -> str:
    facts = [f"Version {event_type.version}", f"owner {event_type.owner}"]
    if event_type.ordering_key is not None:
        facts.append(f"ordering key `{event_type.ordering_key}`")
    if event_type.reserved:
        facts.append("published by Hookline alone")
    if event_type.state is not EventTypeState.ACTIVE:
        facts.append(f"**{event_type.state}**")
    fields = ["Takes any JSON object."] if event_type.open_ended else [*_table(event_type)]
    example = json.dumps(event_type.example, indent=2, ensure_ascii=False)
    said = [event_type.description, "", f"{', '.join(facts)}.", "", *fields]
    return "\n".join([f"### {event_type.name}\n", *said, "", "```json", example, "```", ""])


def _table(event_type: EventType) -> Iterator[str]:
    yield "| field | type | | what it is |"
    yield "|---|---|---|---|"
    for each in described_fields(event_type.schema):
        text = each.text.replace("|", "\\|")
        yield f"| `{each.name}` | {each.type} | {', '.join(each.marks)} | {text} |"


if __name__ == "__main__":
    DOCUMENT.write_text(page())
