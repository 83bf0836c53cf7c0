"""Event types as the API has them, an organization's own too: what people wrote in them steers no terminal."""

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

import orjson

from compose.asking import Body
from compose.described_fields import described_fields
from compose.showing.tables import console, exact_time_of, print_fields, print_table
from compose.speakable import speakable

if TYPE_CHECKING:
    from compose.event_type_checks import Checked

_PUBLISHED = ("active", "deprecated")


def print_event_types(event_types: Sequence[Body]) -> None:
    """Print a table of event types."""
    rows = [
        (
            each["name"],
            "built in" if each["built_in"] else "own",
            each["state"],
            f"v{each['version']}",
            each["description"],
        )
        for each in event_types
    ]
    print_table(("NAME", "", "STATE", "", "WHAT HAPPENED"), rows, folding=[4])


def print_event_type(event_type: Body) -> None:
    """Print one event type: its fields, and an example to publish."""
    older = [number for number in event_type.get("versions", []) if number != event_type["version"]]
    version = f"{event_type['version']}{f'; before it {_listed(older)}' if older else ''}"
    print_fields(
        [
            ("name", event_type["name"]),
            ("what happened", event_type["description"]),
            ("state", event_type["state"]),
            ("version", version),
            ("category", event_type["category"]),
            ("owner", event_type["owner"]),
            ("ordering key", event_type["ordering_key"] or "none"),
            ("changed", exact_time_of(event_type.get("updated_at"))),
        ]
    )
    print_schema(event_type["schema"])
    if event_type["state"] in _PUBLISHED:
        example = orjson.dumps(event_type["example"]).decode()
        console().print(
            speakable(f"\nhookline publish {event_type['name']} --data {shlex.quote(example)}"),
            soft_wrap=True,
            markup=False,
        )


def print_version(name: str, version: Body) -> None:
    """Print one version of an event type."""
    print_fields(
        [("name", name), ("version", str(version["version"])), ("released", exact_time_of(version["created_at"]))]
    )
    print_schema(version["schema"])


def print_schema(schema: Body) -> None:
    """Print a table of a schema's fields."""
    console().print()
    if schema.get("open"):
        console().print("Takes any JSON object.")
        return
    rows = [(each.name, each.type, ", ".join(each.marks), each.text) for each in described_fields(schema)]
    print_table(("FIELD", "TYPE", "", ""), rows, folding=[1, 3])


def print_checked(checked: "Checked") -> None:
    """Print what speaks against a schema, or that nothing does."""
    for problem in checked.problems:
        where = f"{problem.where}: " if problem.where else ""
        print(speakable(f"fail  {checked.name}  {where}{problem.reason}", keep=""))
    if checked.advice is not None:
        print(checked.advice)
    if checked.problems:
        return
    if checked.version in checked.released:
        print(f"ok    {checked.name}  is version {checked.version} as it stands")
    elif checked.released:
        print(f"ok    {checked.name}  would be version {checked.version}, beside {_listed(checked.released)}")
    else:
        print(f"ok    {checked.name}  would be its first version")


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
