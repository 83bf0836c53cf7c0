"""Event types for people, and as the API's JSON for programs."""

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import orjson
import typer

from compose.described_fields import described_fields
from compose.printing import print_json, print_table
from schemas.catalogue import EventType

if TYPE_CHECKING:
    from compose.type_versions import Difference
    from schemas.evolution import Change
    from schemas.type_files import TypeFile


def print_types(event_types: Sequence[EventType], as_json: bool) -> None:
    """Print a list of event types."""
    if as_json:
        from api.event_types.bodies import shown

        print_json({"event_types": [_plain(shown(each)) for each in event_types]})
        return
    print_table((each.name, each.category, each.state, f"v{each.version}", each.description) for each in event_types)


def print_type(event_type: EventType, as_json: bool) -> None:
    """Print one event type: its fields, and an example to publish."""
    if as_json:
        from api.event_types.bodies import shown_in_detail
        from schemas.releases import released_of

        print_json(_plain(shown_in_detail(event_type, sorted(released_of(event_type.name), reverse=True) or None)))
        return
    typer.echo(f"{event_type.name}: {event_type.description}\n")
    print_table(_facts(event_type))
    typer.echo("")
    if event_type.open_ended:
        typer.echo("Takes any JSON object.")
    else:
        print_table(
            (each.name, each.type, ", ".join(each.marks), each.text) for each in described_fields(event_type.schema)
        )
    example = shlex.quote(orjson.dumps(event_type.example).decode())
    typer.echo(f"\nhookline publish {event_type.name} --data {example}")


def print_checked(checked: Sequence["TypeFile"], as_json: bool) -> None:
    """Print what was found in files, those that hold in one line."""
    if as_json:
        print_json({"files": checked})
        return
    for each in checked:
        for problem in each.problems:
            where = f"{problem.where}: " if problem.where else ""
            typer.echo(f"fail  {each.name}  {where}{problem.reason}")
        if each.to_release is not None:
            typer.echo(f"ok    {each.name}  {each.to_release}")
    well = sum(not each.problems for each in checked)
    typer.echo(f"{well} of {len(checked)} hold")


def print_differences(different: Sequence["Difference"], breaking: Sequence["Change"], as_json: bool) -> None:
    """Print what is different, and what of it breaks."""
    if as_json:
        print_json({"differences": different, "breaking": breaking})
        return
    for each in different:
        if each.was is None:
            typer.echo(f"+ {each.name}  {each.becomes}")
        elif each.becomes is None:
            typer.echo(f"- {each.name}  {each.was}")
        else:
            typer.echo(f"~ {each.name}  {each.was} → {each.becomes}")
    for change in breaking:
        typer.echo(f"breaks  {change}")
    if not breaking:
        typer.echo("each reads the other" if different else "no difference")


def _facts(event_type: EventType) -> Sequence[tuple[str, str]]:
    facts = [
        ("category", event_type.category),
        ("state", event_type.state),
        ("version", str(event_type.version)),
        ("owner", event_type.owner),
        ("ordering key", event_type.ordering_key or "none"),
    ]
    return [*facts, ("published by", "Hookline alone")] if event_type.reserved else facts


def _plain(body: Any) -> dict[str, Any]:  # pydantic's, which is not imported for a table
    return dict(body.model_dump(mode="json", by_alias=True))
