"""`hookline replay` and `hookline replays`: sending a chosen set again, and how that goes."""

from enum import StrEnum
from json import loads
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


class Source(StrEnum):
    """What a replay goes through: deliveries that have ended, or the log of events."""

    DELIVERIES = "deliveries"
    LOG = "log"


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


def _place(text: str) -> str:
    number, separator, offset = text.partition(":")
    if not (separator and number.isascii() and number.isdigit() and offset.isascii() and offset.isdigit()):
        raise typer.BadParameter("write PARTITION:OFFSET, such as 0:1200")
    return f"{int(number)}:{int(offset)}"


def _filters(text: str) -> str:
    try:
        loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"is no JSON: {error}") from None
    return text


def replay(  # noqa: PLR0917 - a command's parameters are its options
    source: Annotated[
        Source, typer.Option(help="Deliveries that have ended, or the log: every event, to whom wants it today.")
    ] = Source.DELIVERIES,
    subscription: OneSubscription = None,
    event_type: Annotated[
        list[str] | None, typer.Option("--event-type", metavar="TYPE", help="Of this event type; repeat it.")
    ] = None,
    state: Annotated[
        Finished | None, typer.Option(help="Only those that came to this; all three unless given.")
    ] = None,
    since: Since = None,
    until: Until = None,
    from_offset: Annotated[
        list[str] | None,
        typer.Option(metavar="P:OFFSET", parser=_place, help="Of the log: of a partition, from here on; repeat it."),
    ] = None,
    to_offset: Annotated[
        list[str] | None,
        typer.Option(metavar="P:OFFSET", parser=_place, help="Of the log: before this; its end as of now otherwise."),
    ] = None,
    filters: Annotated[
        str | None,
        typer.Option("--filters", metavar="JSON", parser=_filters, help="Of the log: only such events."),
    ] = None,
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

    With --source log a subscription gets what it was never sent: events from before it was made, or from before it
    wanted them. Give --since, or offsets; it ends where the log ends now.

    \b
    Examples:
      hookline replay --source log --since yesterday --subscription sub_019ab4… --dry-run
      hookline replay --source log --since yesterday --subscription sub_019ab4… --watch
      hookline replay --state failed --dry-run
      hookline replay --state failed --subscription sub_019ab4… --watch
      hookline replay --subscription sub_019ab4… --since 2h --payload current
      hookline replay --event-type user.created --since 2026-11-20T10:00:00Z --until 2026-11-20T12:00:00Z --rate 50
    """
    offsets = _offsets(from_offset, to_offset)
    # The API's rules, before anybody is asked.
    if source is Source.LOG and (since is None) == (offsets is None):
        raise typer.BadParameter("of the log say --since, or --from-offset and --to-offset", param_hint="--source")
    if source is Source.DELIVERIES and subscription is None and state is None and since is None:
        raise typer.BadParameter(
            "say which: --state failed for all dead letters, --subscription or --since", param_hint="--state"
        )
    body = {
        "source": None if source is Source.DELIVERIES else source,
        "subscription_id": subscription,
        "event_types": event_type or None,
        "state": state,
        "since": since,
        "until": until,
        "offsets": offsets,
        "filters": None if filters is None else loads(filters),
        "rate_per_s": rate,
        "payload": payload,
        "dry_run": dry_run or None,
    }
    with asked_api(organization) as api:
        begin(api, "/replays", body, watch=watch, as_json=json)


def begin(api: "Api", path: str, body: dict[str, Any], *, watch: bool, as_json: bool) -> None:
    """Begin a replay and print it, or what it would take; with `watch` wait for its end."""
    from compose.showing.bodies import print_body
    from compose.showing.replays import print_estimate, print_replay
    from compose.watching import watch_replay

    answer = api.post(path, body)
    if body["dry_run"]:
        print_body(answer) if as_json else print_estimate(answer)
        return
    if watch:
        say(f"{answer['id']}")
        answer = watch_replay(api, answer)
    print_body(answer) if as_json else print_replay(answer)
    if watch:
        end(well=_all_arrived(answer))
    say(f"how it goes: hookline replays show {answer['id']}")


def _offsets(first: list[str] | None, past: list[str] | None) -> dict[str, dict[str, int]] | None:
    if not (first or past):
        return None
    sides = {"from": first or [], "to": past or []}
    return {
        side: {number: int(offset) for number, _, offset in (each.partition(":") for each in places)}
        for side, places in sides.items()
    }


def _all_arrived(replay: dict[str, Any]) -> bool:
    return bool(
        replay["state"] == "completed" and replay["succeeded"] == replay["total"] and replay.get("error") is None
    )


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
    _change(replay, "cancel", json, organization)


@app.command()
def pause(replay: Id, json: Json = False, organization: Organization = None) -> None:
    """Pause a replay: it sends nothing more until it is resumed, whatever is started again meanwhile.

    \b
    Example:
      hookline replays pause rpl_019ab4…
    """
    _change(replay, "pause", json, organization)


@app.command()
def resume(replay: Id, json: Json = False, organization: Organization = None) -> None:
    """Go on with a paused replay, where it was.

    \b
    Example:
      hookline replays resume rpl_019ab4…
    """
    _change(replay, "resume", json, organization)


def _change(replay: str, action: str, as_json: bool, organization: str | None) -> None:
    with asked_api(organization) as api:
        from compose.showing.bodies import print_body
        from compose.showing.replays import print_replay

        changed = api.post(path_of("replays", replay, action))
        print_body(changed) if as_json else print_replay(changed)
