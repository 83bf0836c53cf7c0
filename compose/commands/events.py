"""`hookline events`: what was published, and what became of it."""

from enum import StrEnum
from typing import Annotated

import typer

from compose.commands.options import (
    Json,
    JsonArray,
    Limit,
    Organization,
    Since,
    Until,
    asked_api,
    moment_before_now,
    new_group,
    path_of,
    say,
)

app = new_group("See events, one, many or as they come.")


class Order(StrEnum):
    """Which comes first."""

    DESC = "desc"
    ASC = "asc"


class Outcome(StrEnum):
    """What became of events that arrived nowhere."""

    UNWANTED = "unwanted"
    UNDELIVERED = "undelivered"
    NEVER_DELIVERED = "never_delivered"


Type = Annotated[str | None, typer.Option("--type", metavar="TYPE", help="Only of this event type.")]


@app.command("list")
def list_(  # noqa: PLR0917 - a command's parameters are its options
    type: Type = None,  # noqa: A002
    since: Since = None,
    until: Until = None,
    source_id: Annotated[str | None, typer.Option(metavar="ID", help="The publisher's own id of it.")] = None,
    outcome: Annotated[
        Outcome | None,
        typer.Option(help="Wanted by no subscription; or by some, and taken by none so far; or either. Needs --since."),
    ] = None,
    never_delivered: Annotated[
        bool, typer.Option("--never-delivered", help="The same as --outcome never_delivered; of the last day at least.")
    ] = False,
    order: Annotated[Order, typer.Option(help="Newest or oldest first.")] = Order.DESC,
    limit: Limit = None,
    json: JsonArray = False,
    organization: Organization = None,
) -> None:
    """List events, newest first.

    \b
    Examples:
      hookline events list --type user.created --since 1h
      hookline events list --since yesterday --order asc --json > events.json
      hookline events list --never-delivered --since 7d
    """
    if never_delivered and outcome not in {None, Outcome.NEVER_DELIVERED}:
        raise typer.BadParameter("give --outcome or --never-delivered, not both", param_hint="--never-delivered")
    if never_delivered:
        outcome, since = Outcome.NEVER_DELIVERED, since or moment_before_now("1d")
    if outcome is not None and since is None:
        raise typer.BadParameter("goes with --since, such as --since 1d", param_hint="--outcome")
    with asked_api(organization) as api:
        from compose.showing.events import print_events
        from compose.showing.lists import print_list

        params = {
            "type": type,
            "since": since,
            "until": until,
            "source_id": source_id,
            "outcome": outcome,
            "order": order,
        }
        print_list(api, "/events", params, limit=limit, as_json=json, show=print_events)


@app.command()
def show(
    event: Annotated[str, typer.Argument(metavar="EVT", help="The event's id.")],
    json: Json = False,
    organization: Organization = None,
) -> None:
    """Show an event's data, and what became of it for each subscription.

    \b
    Example:
      hookline events show evt_019ab4…
    """
    with asked_api(organization) as api:
        from compose.showing.bodies import print_body
        from compose.showing.events import print_event

        found = api.get(path_of("events", event))
        print_body(found) if json else print_event(found)


@app.command()
def tail(
    type: Type = None,  # noqa: A002
    since: Since = None,
    json: Annotated[bool, typer.Option("--json", help="Print the API's JSON, an event a line.")] = False,
    organization: Organization = None,
) -> None:
    """Print events as they come, from now on or from --since, until Ctrl-C (exit code 130).

    In the order in which the log files them; one that comes up to a minute late is printed when it is there.

    \b
    Examples:
      hookline events tail
      hookline events tail --type user.created --since 10m
      hookline events tail --json | jq -c '{id, type}'
    """
    from compose.complaints import ExitCode

    try:
        with asked_api(organization) as api:
            from compose.showing.bodies import print_body_line
            from compose.showing.events import print_event_line
            from compose.tailing import tail as tailed

            for event in tailed(api, type=type, since=since, say=say):
                print_body_line(event) if json else print_event_line(event)
    except KeyboardInterrupt:
        raise typer.Exit(ExitCode.INTERRUPTED) from None  # how it is meant to end: nothing to complain about
