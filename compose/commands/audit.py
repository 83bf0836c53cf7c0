"""`hookline audit`: who did what to what, from where."""

from typing import Annotated

import typer

from compose.commands.options import JsonArray, Limit, Organization, Since, Until, asked_api, new_group

app = new_group("Read the audit log.")


@app.command("list")
def list_(  # noqa: PLR0917 - a command's parameters are its options
    actor: Annotated[str | None, typer.Option(metavar="ID", help="Only what this user, token or client did.")] = None,
    action: Annotated[str | None, typer.Option(help="Only this: create_subscription, auth.login, …")] = None,
    target: Annotated[str | None, typer.Option(metavar="ID", help="Only what was done to this.")] = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = None,
    json: JsonArray = False,
    organization: Organization = None,
) -> None:
    """List entries, newest first.

    \b
    Examples:
      hookline audit list --since 2h
      hookline audit list --action auth.failed --since yesterday --json | jq -r '.[].address' | sort | uniq -c
    """
    with asked_api(organization) as api:
        from compose.showing.identity import print_audit
        from compose.showing.lists import print_list

        params = {"actor": actor, "action": action, "target": target, "since": since, "until": until}
        print_list(api, "/audit", params, limit=limit, as_json=json, show=print_audit)
