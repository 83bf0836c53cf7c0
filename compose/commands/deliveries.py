"""`hookline deliveries` and `hookline dead-letters`: what happened to each event, for each subscription."""

import shlex
from typing import Annotated, Any, Final

import typer

from compose.commands.options import (
    DeliveryState,
    ErrorKind,
    EventIdText,
    Json,
    JsonArray,
    Limit,
    OneEventType,
    OneSubscription,
    Organization,
    Since,
    Status,
    Until,
    asked_api,
    end,
    new_group,
    path_of,
    say,
)

_FILTERS: Final = ("subscription_id", "event_type", "state", "since", "until", "status", "error_kind", "event_id")

app = new_group("See what was sent, what came back, and send it again.")


@app.command("list")
def list_(  # noqa: PLR0917 - a command's parameters are its options
    subscription: OneSubscription = None,
    event_type: OneEventType = None,
    state: Annotated[DeliveryState | None, typer.Option(help="Only those in this state.")] = None,
    since: Since = None,
    until: Until = None,
    status: Status = None,
    error_kind: ErrorKind = None,
    event_id: EventIdText = None,
    limit: Limit = None,
    json: JsonArray = False,
    organization: Organization = None,
) -> None:
    """List deliveries, newest first.

    \b
    Examples:
      hookline deliveries list --since 2h
      hookline deliveries list --subscription sub_019ab4… --state retrying
      hookline deliveries list --status 503 --since yesterday --json | jq -r '.[].event_id'
    """
    filters = _filters(subscription, event_type, state, since, until, status, error_kind, event_id)
    _list(filters, limit=limit, as_json=json, organization=organization)


@app.command()
def show(
    delivery: Annotated[str, typer.Argument(metavar="DLV", help="The delivery's id.")],
    json: Json = False,
    organization: Organization = None,
) -> None:
    """Show a delivery and every attempt: headers and bodies of request and answer, up to 10 KB of each.

    \b
    Examples:
      hookline deliveries show dlv_019ab4…
      hookline deliveries show dlv_019ab4… --json | jq '.attempts[-1].response'
    """
    with asked_api(organization) as api:
        from compose.showing.bodies import print_body
        from compose.showing.deliveries import print_delivery

        found = api.get(path_of("deliveries", delivery))
        print_body(found) if json else print_delivery(found)


@app.command()
def retry(
    deliveries: Annotated[list[str], typer.Argument(metavar="DLV…", help="Their ids.")],
    json: JsonArray = False,
    organization: Organization = None,
) -> None:
    """Send deliveries again now, with the same webhook-id; also those that wait for their next attempt.

    One that is being sent is refused: nothing goes out twice at once. Exit code 1 when one was refused.

    \b
    Examples:
      hookline deliveries retry dlv_019ab4…
      hookline deliveries list --state failed --since 1h --json | jq -r '.[].id' | xargs hookline deliveries retry
    """
    from compose.refusals import Refused

    answers: list[dict[str, Any]] = []
    with asked_api(organization) as api:
        for delivery in deliveries:
            try:
                answers.append(api.post(path_of("deliveries", delivery, "retry")))
            except Refused as refused:
                if len(deliveries) == 1 or refused.is_about_what_was_given:
                    raise
                say(f"{delivery}  {refused}")
                continue
            if not json:
                typer.echo(f"{delivery}  sent again by {answers[-1]['replay_id']}")
    if json:
        from compose.showing.bodies import print_bodies

        print_bodies(answers)
    end(well=len(answers) == len(deliveries))


def dead_letters(  # noqa: PLR0917
    subscription: OneSubscription = None,
    event_type: OneEventType = None,
    since: Since = None,
    until: Until = None,
    status: Status = None,
    error_kind: ErrorKind = None,
    event_id: EventIdText = None,
    limit: Limit = None,
    json: JsonArray = False,
    organization: Organization = None,
) -> None:
    """List what was given up, newest first, and say how to send it again. Same as deliveries list --state failed.

    \b
    Examples:
      hookline dead-letters --since 24h
      hookline dead-letters --subscription sub_019ab4… --json | jq length
    """
    filters = _filters(subscription, event_type, DeliveryState.FAILED, since, until, status, error_kind, event_id)
    if _list(filters, limit=limit, as_json=json, organization=organization):
        say("")
        say("to send them again, mend the receiver, then:")
        if status is None and error_kind is None and event_id is None:
            chosen = {name: filters[name] for name in ("subscription_id", "event_type", "since", "until")}
            command = _command("hookline replay --state failed", {**chosen, "organization": organization})
            say(f"  {command} --dry-run    (how many)")
            say(f"  {command} --watch")
        else:  # a replay does not choose by these
            command = _command("hookline dead-letters", {**filters, "state": None, "organization": organization})
            say(f"  {command} --json | jq -r '.[].id' | xargs hookline deliveries retry")
        say("one alone, and why it failed: hookline deliveries retry DLV, hookline deliveries show DLV")


def _filters(*options: object) -> dict[str, Any]:
    """Return the parameters of GET /deliveries from the options of both lists, in the order of `_FILTERS`."""
    return dict(zip(_FILTERS, options, strict=True))


def _command(command: str, filters: dict[str, Any]) -> str:
    """Return a command to copy, with the filters that were given."""
    given = {name.removesuffix("_id") if name == "subscription_id" else name: value for name, value in filters.items()}
    options = [
        f"--{name.replace('_', '-')} {shlex.quote(str(value))}" for name, value in given.items() if value is not None
    ]
    return " ".join([command, *options])


def _list(filters: dict[str, Any], *, limit: int | None, as_json: bool, organization: str | None) -> bool:
    with asked_api(organization) as api:
        from compose.showing.deliveries import print_deliveries
        from compose.showing.lists import print_list

        return bool(print_list(api, "/deliveries", filters, limit=limit, as_json=as_json, show=print_deliveries))
