"""`hookline stats`: how much was delivered, how fast, and what is left."""

from typing import Annotated

import typer

from compose.commands.options import Json, Organization, asked_api, path_of


def stats(
    subscription: Annotated[
        str | None, typer.Option("--subscription", metavar="SUB", help="Of this subscription alone, and its health.")
    ] = None,
    json: Json = False,
    organization: Organization = None,
) -> None:
    """Print totals: deliveries, success rate, durations, what is retrying or dead, and seven days.

    \b
    Examples:
      hookline stats
      hookline stats --subscription sub_019ab4…
      hookline stats --json | jq .success_rate
    """
    with asked_api(organization) as api:
        from compose.showing.bodies import print_body
        from compose.showing.stats import print_stats

        found = api.get("/stats" if subscription is None else path_of("subscriptions", subscription, "stats"))
        print_body(found) if json else print_stats(found)
