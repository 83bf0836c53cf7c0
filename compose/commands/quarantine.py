"""`hookline quarantine`: records that nobody could read, the operator's business."""

from typing import Annotated

import typer

from compose.commands.options import Json, JsonArray, Limit, asked_api, new_group, path_of

app = new_group("See records that nobody could read, and put them back.")

Id = Annotated[str, typer.Argument(metavar="QTN", help="The record's id.")]


@app.command("list")
def list_(
    topic: Annotated[str | None, typer.Option(help="Only those that came from this topic.")] = None,
    stage: Annotated[str | None, typer.Option(help="route, deliver, move, index or projection.")] = None,
    retried: Annotated[bool | None, typer.Option("--retried/--not-retried", help="Whether they were put back.")] = None,
    limit: Limit = None,
    json: JsonArray = False,
) -> None:
    """List quarantined records.

    \b
    Examples:
      hookline quarantine list --not-retried
      hookline quarantine list --topic hookline.deliver --json | jq -r '.[].error'
    """
    with asked_api(None) as api:
        from compose.showing.lists import print_list
        from compose.showing.quarantine import print_records

        asked = None if retried is None else str(retried).lower()
        params = {"topic": topic, "stage": stage, "retried": asked}
        print_list(api, "/quarantine", params, limit=limit, as_json=json, show=print_records)


@app.command()
def show(record: Id, json: Json = False) -> None:
    """Show a record: where it was, why it could not be read, and its bytes.

    \b
    Examples:
      hookline quarantine show qtn_019ab4…
      hookline quarantine show qtn_019ab4… --json | jq -r .value.data | base64 -d > record
    """
    with asked_api(None) as api:
        from compose.showing.bodies import print_body
        from compose.showing.quarantine import print_record

        found = api.get(path_of("quarantine", record))
        print_body(found) if json else print_record(found)


@app.command()
def retry(
    record: Id,
    again: Annotated[bool, typer.Option("--again", help="Also when it was put back before.")] = False,
    json: Json = False,
) -> None:
    """Put a record's bytes back on the topic that they came from, when what could not read them was mended.

    \b
    Example:
      hookline quarantine retry qtn_019ab4…
    """
    with asked_api(None) as api:
        from compose.showing.bodies import print_body

        answer = api.ask("POST", path_of("quarantine", record, "retry"), params={"again": "true" if again else None})
        print_body(answer) if json else typer.echo(f"{record}  put back")
