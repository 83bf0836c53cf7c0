"""`hookline event-types`: the event types that an organization can use, and those that it defines itself."""

import sys
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from compose.commands import schemas
from compose.commands.options import Json, Organization, asked_api, end, path_of, say
from compose.commands.schemas import State


class _ByName(TyperGroup):
    """Takes a type's name where a command's could stand: `hookline event-types user.created` shows it."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # typer brings a click of its own, which is private
        return super().resolve_command(ctx, ["show", *args] if "." in args[0] else args)


app = typer.Typer(rich_markup_mode=None, cls=_ByName)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The event type's name, such as order.shipped.")]
Schema = Annotated[
    str | None, typer.Option("--schema", metavar="JSON|@FILE|-", help="Avro, of the data: a record; - is stdin.")
]
Example = Annotated[
    str | None, typer.Option("--example", metavar="JSON|@FILE", help="Data that fits the schema; test sends send it.")
]
Description = Annotated[str | None, typer.Option(help="What happened, for people.")]
Owner = Annotated[str | None, typer.Option(help="Who answers for it.")]
Category = Annotated[str | None, typer.Option(help="What it is listed under: the name's first word unless given.")]
OrderingKey = Annotated[
    str | None,
    typer.Option(metavar="FIELD", help="The field that orders events whose publisher names no key; none: no field."),
]
_NO_FIELD: Final = "none"


@app.callback(invoke_without_command=True)
def event_types(context: typer.Context, json: schemas.Json = False) -> None:
    """Define event types of your own, change them, and list what can be subscribed to.

    Alone it lists the built-in ones and asks nobody; with a name it shows that one.

    \b
    Examples:
      hookline event-types
      hookline event-types user.created
      hookline event-types --json
    """
    if context.invoked_subcommand is None:
        schemas.list_(json=json)


@app.command("list")
def list_(
    category: Annotated[str | None, typer.Option(help="Only these, such as user.")] = None,
    state: Annotated[State | None, typer.Option(help="Only these.")] = None,
    own: Annotated[bool, typer.Option("--own", help="Only those that the organization defined.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
    organization: Organization = None,
) -> None:
    """List an organization's event types, the built-in ones and its own, by name.

    \b
    Examples:
      hookline event-types list --own
      hookline event-types list --state deprecated --json | jq -r '.[].name'
    """
    with asked_api(organization) as api:
        from compose.showing.bodies import print_bodies
        from compose.showing.own_event_types import print_event_types

        found = api.get("/event-types", category=category, state=state)["data"]
        kept = [each for each in found if not (own and each["built_in"])]
        if json:
            print_bodies(kept)
        elif kept:
            print_event_types(kept)
        else:
            say("none")


@app.command()
def show(
    name: Name,
    version: Annotated[int | None, typer.Option(min=1, help="One that was released; the newest unless given.")] = None,
    json: Json = False,
    organization: Organization = None,
) -> None:
    """Show an event type: its fields, which of them are required, personal or secret, and an example to publish.

    Built-in ones are shown without asking the API, unless --organization is given.

    \b
    Examples:
      hookline event-types show order.shipped
      hookline event-types show order.shipped --version 1 --json | jq .schema > version-1.avsc
    """
    if organization is None:
        from schemas.catalogue import catalogue

        if name in catalogue():
            schemas.show(name, version, json=json)
            return
    with asked_api(organization) as api:
        from compose.showing.bodies import print_body
        from compose.showing.own_event_types import print_event_type, print_version

        if version is None:
            found = api.get(path_of("event-types", name))
            print_body(found) if json else print_event_type(found)
        else:
            found = api.get(path_of("event-types", name, "versions", str(version)))
            print_body(found) if json else print_version(name, found)


@app.command()
def define(  # noqa: PLR0917 - a command's parameters are its options
    name: Name,
    description: Annotated[str, typer.Option(help="What happened, for people.")],
    schema: Annotated[str, typer.Option(metavar="JSON|@FILE|-", help="Avro, of the data: a record; - is stdin.")],
    example: Annotated[str, typer.Option(metavar="JSON|@FILE", help="Data that fits it; test sends send it.")],
    owner: Owner = None,
    category: Category = None,
    ordering_key: OrderingKey = None,
    draft: Annotated[
        bool, typer.Option("--draft", help="Cannot be published yet; its schema may still change in any way.")
    ] = False,
    json: Json = False,
    organization: Organization = None,
) -> None:
    """Define an event type. Publishers, workers and the API take its events within 2 seconds.

    \b
    Examples:
      hookline event-types define order.shipped --description 'An order left.' --schema @shipped.avsc \\
        --example '{"order_id": "ord_123"}' --ordering-key order_id
      hookline event-types define order.lost --description 'An order is lost.' --schema - --example @lost.json --draft
    """
    body = {
        "name": name,
        "description": description,
        "schema": _given(schema, "--schema"),
        "example": _given(example, "--example"),
        "owner": owner,
        "category": category,
        "ordering_key": None if ordering_key == _NO_FIELD else ordering_key,
        "state": "draft" if draft else None,
    }
    with asked_api(organization) as api:
        _print(api.post("/event-types", body), as_json=json)


@app.command()
def change(  # noqa: PLR0917
    name: Name,
    description: Description = None,
    schema: Schema = None,
    example: Example = None,
    owner: Owner = None,
    category: Category = None,
    ordering_key: OrderingKey = None,
    json: Json = False,
    organization: Organization = None,
) -> None:
    """Change what the options name. Another schema is released as the next version; a draft's is replaced.

    A schema that breaks a version which was ever released is refused: event-types check says what of it does.

    \b
    Examples:
      hookline event-types change order.shipped --schema @shipped-2.avsc
      hookline event-types change order.shipped --description 'An order left a warehouse.' --owner Logistics
      hookline event-types change order.shipped --ordering-key none
    """
    given: dict[str, Any] = {
        "description": description,
        "schema": None if schema is None else _given(schema, "--schema"),
        "example": None if example is None else _given(example, "--example"),
        "owner": owner,
        "category": category,
    }
    patch = {field: value for field, value in given.items() if value is not None}
    if ordering_key is not None:
        patch["ordering_key"] = None if ordering_key == _NO_FIELD else ordering_key
    if not patch:
        raise typer.BadParameter("say what to change, with at least one option")
    _patch(name, patch, as_json=json, organization=organization)


@app.command()
def check(
    name: Name,
    schema: Annotated[str, typer.Option(metavar="JSON|@FILE|-", help="Avro, of the data: a record; - is stdin.")],
    example: Example = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    organization: Organization = None,
) -> None:
    """Check a schema against every version of an event type that was ever released; nothing is saved.

    What does not hold is said with its field, or a pointer into the file, the reason and what to do; the exit code is
    1 then. Of a new type, or a draft, the schema itself is checked.

    \b
    Examples:
      hookline event-types check order.shipped --schema @shipped-2.avsc
      jq '.fields += [{"name": "weight", "type": ["null", "double"], "default": null}]' shipped.avsc \\
        | hookline event-types check order.shipped --schema -
    """
    wanted = _given(schema, "--schema")
    sample = None if example is None else _given(example, "--example")
    with asked_api(organization) as api:
        from dataclasses import asdict

        from compose.event_type_checks import checked
        from compose.printing import print_json
        from compose.showing.own_event_types import print_checked

        found = checked(api, name, wanted, sample)
        print_json(asdict(found)) if json else print_checked(found)
    end(well=not found.problems)


@app.command()
def activate(name: Name, json: Json = False, organization: Organization = None) -> None:
    """Release a draft, or take a deprecated or an archived event type back into use.

    \b
    Example:
      hookline event-types activate order.lost
    """
    _patch(name, {"state": "active"}, as_json=json, organization=organization)


@app.command()
def deprecate(name: Name, json: Json = False, organization: Organization = None) -> None:
    """Deprecate an event type: it can still be published, and says so wherever it is shown.

    \b
    Example:
      hookline event-types deprecate order.shipped
    """
    _patch(name, {"state": "deprecated"}, as_json=json, organization=organization)


@app.command()
def archive(name: Name, json: Json = False, organization: Organization = None) -> None:
    """Archive a deprecated event type: it can be published no more, what is on its way is delivered.

    \b
    Example:
      hookline event-types archive order.shipped
    """
    _patch(name, {"state": "archived"}, as_json=json, organization=organization)


@app.command()
def delete(name: Name, organization: Organization = None) -> None:
    """Delete a draft. What was ever active stays, for the events that are on the log: deprecate and archive it.

    \b
    Example:
      hookline event-types delete order.lost
    """
    with asked_api(organization) as api:
        api.ask("DELETE", path_of("event-types", name))
        say(f"{name}  deleted")


def _given(text: str, option: str) -> Any:
    """Return the JSON object that an option gives: written out, as `@file`, or on standard input for `-`."""
    from compose.publishing import json_given
    from schemas.errors import InvalidInput

    try:
        value = json_given(text if text != "-" else f" {sys.stdin.read()}", option=option)  # no stdin names a file
    except InvalidInput as error:
        raise typer.BadParameter(error.detail) from None
    if not isinstance(value, dict):
        raise typer.BadParameter("must be a JSON object", param_hint=option)
    return value


def _patch(name: str, patch: dict[str, Any], *, as_json: bool, organization: str | None) -> None:
    with asked_api(organization) as api:
        _print(api.ask("PATCH", path_of("event-types", name), body=patch), as_json=as_json)


def _print(event_type: dict[str, Any], *, as_json: bool) -> None:
    from compose.showing.bodies import print_body
    from compose.showing.own_event_types import print_event_type

    print_body(event_type) if as_json else print_event_type(event_type)
