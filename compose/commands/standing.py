"""`hookline subscriptions lag` and `recover`: what a subscription has not got, and how it gets it."""

from typing import Annotated

import typer

from compose.commands.options import Json, Organization, Since, Until, asked_api, path_of
from compose.commands.replays import DryRun, Payload, Rate, Watch, begin

_Id = Annotated[str, typer.Argument(metavar="SUB", help="The subscription's id.")]


def lag(subscription: _Id, json: Json = False, organization: Organization = None) -> None:
    """Show what a subscription has not got yet: how much, since when, where it waits, and why.

    \b
    Examples:
      hookline subscriptions lag sub_019ab4…
      hookline subscriptions lag sub_019ab4… --json | jq .count
    """
    with asked_api(organization) as api:
        from compose.showing.bodies import print_body
        from compose.showing.standing import print_lag

        found = api.get(path_of("subscriptions", subscription, "lag"))
        print_body(found) if json else print_lag(found)


def recover(  # noqa: PLR0917 - a command's parameters are its options
    subscription: _Id,
    since: Since = None,
    until: Until = None,
    rate: Rate = None,
    payload: Payload = None,
    dry_run: DryRun = False,
    watch: Watch = False,
    json: Json = False,
    organization: Organization = None,
) -> None:
    """Send a subscription what failed or was held since a time. It is a replay: see hookline replays show.

    \b
    Examples:
      hookline subscriptions recover sub_019ab4… --since 2d --dry-run
      hookline subscriptions recover sub_019ab4… --since 2026-11-20T10:00:00Z --rate 20 --watch
    """
    if since is None:
        raise typer.BadParameter("say since when events were missed: 2h, or a time", param_hint="--since")
    body = {"since": since, "until": until, "rate_per_s": rate, "payload": payload, "dry_run": dry_run or None}
    with asked_api(organization) as api:
        begin(api, path_of("subscriptions", subscription, "recover"), body, watch=watch, as_json=json)
