"""`hookline replay` and `hookline replays`: sending a chosen set again, and how that goes."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from compose.commands.options import (
    Json,
    JsonArray,
    Limit,
    OneSubscription,
    Organization,
    Since,
    Until,
    asked_api,
    end,
    new_group,
    path_of,
    say,
)

app = new_group("See and cancel replays.")


if TYPE_CHECKING:
    from compose.asking import Api


class Finished(StrEnum):
    """Which deliveries a replay sends again: those that have come to an end; undelivered: failed or held."""

    FAILED = "failed"
    HELD = "held"
    SUCCESS = "success"
    UNDELIVERED = "undelivered"


class PayloadVersion(StrEnum):
    """How the bodies of a replay look."""

    ORIGINAL = "original"
    CURRENT = "current"


class ItemState(StrEnum):
    """Where one delivery of a replay stands."""

    QUEUED = "queued"
    SENT = "sent"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    HELD = "held"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


Payload = Annotated[
    PayloadVersion | None,
    typer.Option("--payload", help="Bodies as they were at first (original), or as the subscription has them now."),
]
Rate = Annotated[float | None, typer.Option(metavar="N", help="Deliveries a second, at most.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say how many it would be, and do nothing.")]
Watch = Annotated[bool, typer.Option("--watch", help="Wait for the end, with progress on stderr.")]
Id = Annotated[str, typer.Argument(metavar="RPL", help="The replay's id.")]


def replay(  # noqa: PLR0917 - a command's parameters are its options
    subscription: OneSubscription = None,
    event_type: Annotated[
        list[str] | None, typer.Option("--event-type", metavar="TYPE", help="Of this event type; repeat it.")
    ] = None,
    state: Annotated[
        Finished | None, typer.Option(help="Only those that came to this; all three unless given.")
    ] = None,
    since: Since = None,
    until: Until = None,
    rate: Rate = None,
    payload: Payload = None,
    dry_run: DryRun = False,
    watch: Watch = False,
    json: Json = False,
    organization: Organization = None,
) -> None:
    """Send a chosen set again: dead letters, what was held, or what arrived and was lost by its receiver.

    Same webhook-id, a hookline-replay header, a rate of its own beside what is sent now. What is pending or retrying
    is left alone. Give --state, --subscription or --since. With --watch, Ctrl-C ends the watching and not the replay;
    the exit code is 0 when all of them arrived, 1 when not.

    \b
    Examples:
      hookline replay --state failed --dry-run
      hookline replay --state failed --subscription sub_019ab4… --watch
      hookline replay --subscription sub_019ab4… --since 2h --payload current
      hookline replay --event-type user.created --since 2026-11-20T10:00:00Z --until 2026-11-20T12:00:00Z --rate 50
    """
    if subscription is None and state is None and since is None:  # the API's rule, before anybody is asked
        raise typer.BadParameter(
            "say which: --state failed for all dead letters, --subscription or --since", param_hint="--state"
        )
    body = {
        "subscription_id": subscription,
        "event_types": event_type or None,
        "state": state,
        "since": since,
        "until": until,
        "rate_per_s": rate,
        "payload": payload,
        "dry_run": dry_run or None,
    }
    with asked_api(organization) as api:
        begin(api, "/replays", body, watch=watch, as_json=json)


def begin(api: "Api", path: str, body: dict[str, Any], *, watch: bool, as_json: bool) -> None:
    """Begin a replay and print it, or what it would take; with `watch` wait for its end."""
    from compose.showing.bodies import print_body
    from compose.showing.replays import print_replay
    from compose.watching import watch_replay

    answer = api.post(path, body)
    if body["dry_run"]:
        print_body(answer) if as_json else typer.echo(f"{answer['count']:,} deliveries would be sent again")
        return
    if watch:
        say(f"{answer['id']}")
        answer = watch_replay(api, answer)
    print_body(answer) if as_json else print_replay(answer)
    if watch:
        end(well=_all_arrived(answer))
    say(f"how it goes: hookline replays show {answer['id']}")


def _all_arrived(replay: dict[str, Any]) -> bool:
    return bool(replay["state"] == "completed" and replay["succeeded"] == replay["total"])


@app.command("list")
def list_(limit: Limit = None, json: JsonArray = False, organization: Organization = None) -> None:
    """List replays, newest first; a delivery's retry by hand is one too.

    \b
    Example:
      hookline replays list --limit 5
    """
    with asked_api(organization) as api:
        from compose.showing.lists import print_list
        from compose.showing.replays import print_replays

        print_list(api, "/replays", {}, limit=limit, as_json=json, show=print_replays)


@app.command()
def show(  # noqa: PLR0917
    replay: Id,
    items: Annotated[ItemState | None, typer.Option(help="Its deliveries in this state, and why.")] = None,
    watch: Watch = False,
    limit: Limit = None,
    json: Json = False,
    organization: Organization = None,
) -> None:
    """Show how far a replay is; with --items the deliveries that failed, were held or skipped, and why.

    \b
    Examples:
      hookline replays show rpl_019ab4…
      hookline replays show rpl_019ab4… --watch
      hookline replays show rpl_019ab4… --items failed --json
    """
    if items is not None and watch:
        raise typer.BadParameter("give --items or --watch, not both", param_hint="--watch")
    with asked_api(organization) as api:
        from compose.showing.bodies import print_body
        from compose.showing.lists import print_list
        from compose.showing.replays import print_items, print_replay
        from compose.watching import watch_replay

        if items is not None:
            path = path_of("replays", replay, "items")
            print_list(api, path, {"state": items}, limit=limit, as_json=json, show=print_items)
            return
        found = api.get(path_of("replays", replay))
        found = watch_replay(api, found) if watch else found
        print_body(found) if json else print_replay(found)
        if watch:
            end(well=_all_arrived(found))


@app.command()
def cancel(replay: Id, json: Json = False, organization: Organization = None) -> None:
    """Cancel a replay: what it has not sent yet stays as it was.

    \b
    Example:
      hookline replays cancel rpl_019ab4…
    """
    with asked_api(organization) as api:
        from compose.showing.bodies import print_body
        from compose.showing.replays import print_replay

        cancelled = api.post(path_of("replays", replay, "cancel"))
        print_body(cancelled) if json else print_replay(cancelled)
