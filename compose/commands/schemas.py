"""`hookline schemas`: the event types' files, their versions, and what a change would break."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from compose.commands.options import end, new_group

app = new_group("See the built-in event types and their versions, and check what a change would break.")


class State(StrEnum):
    """Where an event type is in its life; those of schemas/catalogue.py, written again so that `--help` is quick."""

    DRAFT = "draft"
    ACTIVE = "active"
    DEPRECATED = "deprecated"
    ARCHIVED = "archived"


Json = Annotated[bool, typer.Option("--json", help="Print JSON, as the API has it.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The event type's name; `hookline schemas list` has them.")]
_VERSION_OR_FILE = "VERSION|FILE"


@app.command("list")
def list_(
    category: Annotated[str | None, typer.Option(help="Only these, such as user or job_queue.")] = None,
    state: Annotated[State | None, typer.Option(help="Only these.")] = None,
    json: Json = False,
) -> None:
    """List the built-in event types. Those of organizations are listed by hookline event-types list.

    \b
    Examples:
      hookline schemas list
      hookline schemas list --category user
      hookline schemas list --state deprecated --json | jq -r '.event_types[].name'
    """
    from compose.showing.event_types import print_types
    from schemas.catalogue import catalogue

    found = list(catalogue().values())
    categories = sorted({each.category for each in found})
    if category is not None and category not in categories:
        raise typer.BadParameter(f"must be one of {', '.join(categories)}", param_hint="--category")
    wanted = None if state is None else state.value
    kept = [each for each in found if category in {None, each.category} and wanted in {None, each.state.value}]
    print_types(kept, json)


@app.command()
def show(
    name: Name,
    version: Annotated[int | None, typer.Option(min=1, help="One that was released; today's unless given.")] = None,
    json_schema: Annotated[bool, typer.Option("--json-schema", help="Print the JSON Schema of its data.")] = False,
    json: Json = False,
) -> None:
    """Show an event type: its fields, which of them are required, personal or secret, and an example to publish.

    \b
    Examples:
      hookline schemas show user.created
      hookline schemas show user.created --version 1 --json | jq .schema
      hookline schemas show user.created --json-schema > user.created.schema.json
    """
    from compose.printing import print_json
    from compose.showing.event_types import print_type
    from compose.type_versions import event_type_in
    from schemas.json_schema import published_schema

    found = event_type_in(name, version)
    if json_schema:
        print_json(published_schema(found))
    else:
        print_type(found, json)


@app.command()
def check(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FILE]…", exists=True, help="Files, or folders of them; the built-in ones' unless given."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Check event types' files: is each valid, and FULL_TRANSITIVE against every version that was ever released?

    Released versions are looked for beside a file, in the folder released: user.created.1.avsc and so on.
    FULL_TRANSITIVE means that every version reads what every other one wrote: fields that have a default may be added
    and removed, and nothing else. What does not hold is said with its field, the reason and what to do, and the exit
    code is 1.

    \b
    Examples:
      hookline schemas check
      hookline schemas check schemas/event_types/invoice.paid.avsc
      hookline schemas check --json | jq '.files[] | select(.problems != [])'
    """
    from compose.showing.event_types import print_checked
    from schemas.catalogue import FOLDER
    from schemas.type_files import checked_file

    paths = [
        path for given in files or [FOLDER] for path in (sorted(given.glob("*.avsc")) if given.is_dir() else [given])
    ]
    checked = [checked_file(path) for path in paths]
    print_checked(checked, json)
    end(well=all(not each.problems for each in checked))


@app.command()
def diff(
    name: Name,
    old: Annotated[str, typer.Argument(metavar=_VERSION_OR_FILE, help="A version that was released, or a file.")],
    new: Annotated[
        str | None, typer.Argument(metavar=f"[{_VERSION_OR_FILE}]", help="What it becomes; today's unless given.")
    ] = None,
    json: Json = False,
) -> None:
    """Show what is different between two versions, and what of it breaks publishers or receivers.

    The exit code is 1 when something does.

    \b
    Examples:
      hookline schemas diff user.created 1
      hookline schemas diff user.created 1 2
      hookline schemas diff user.created 2 my/user.created.avsc
    """
    from compose.showing.event_types import print_differences
    from compose.type_versions import differences, schema_of
    from schemas.evolution import breaking_changes

    before, after = schema_of(name, old), schema_of(name, new)
    breaking = breaking_changes(before, after)
    print_differences(differences(before, after), breaking, json)
    end(well=not breaking)
