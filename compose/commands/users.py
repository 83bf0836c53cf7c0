"""`hookline users`: the accounts that an organization manages."""

from typing import Annotated

import typer

from compose.commands.options import Json, JsonArray, Limit, Organization, asked_api, new_group, path_of, say

app = new_group("Manage accounts: add, lock, unlock, send links.")

Id = Annotated[str, typer.Argument(metavar="USR", help="The user's id, usr_….")]


@app.command("list")
def list_(limit: Limit = None, json: JsonArray = False, organization: Organization = None) -> None:
    """List the accounts that the organization manages.

    \b
    Example:
      hookline users list --json | jq -r '.[].email'
    """
    with asked_api(organization) as api:
        from compose.showing.identity import print_users
        from compose.showing.lists import print_list

        print_list(api, "/users", {}, limit=limit, as_json=json, show=print_users)


@app.command()
def add(
    email: Annotated[str, typer.Argument(help="Whose.")],
    name: Annotated[str, typer.Option(help="For people.")],
    role: Annotated[str | None, typer.Option(help="Make a member too, with this role.")] = None,
    json: Json = False,
    organization: Organization = None,
) -> None:
    """Make an account. It has no password yet: a link to set one goes out by e-mail.

    \b
    Example:
      hookline users add ada@example.com --name "Ada Lovelace" --role owner
    """
    with asked_api(organization) as api:
        from compose.showing.bodies import print_body

        made = api.post("/users", {"email": email, "name": name, "role": role})
        api.post(path_of("users", made["id"], "send-reset"))
        print_body(made) if json else say(f"{made['id']}  a link to set a password goes to {email}")


@app.command()
def lock(
    user: Id,
    reason: Annotated[str | None, typer.Option(help="For the audit log, and for whoever unlocks it.")] = None,
    organization: Organization = None,
) -> None:
    """Lock an account: its sessions and granted applications end, within 2 s everywhere.

    \b
    Example:
      hookline users lock usr_019ab4… --reason "left the company"
    """
    with asked_api(organization) as api:
        api.post(path_of("users", user, "lock"), {"reason": reason})
        say(f"{user}  locked")


@app.command()
def unlock(user: Id, organization: Organization = None) -> None:
    """Unlock an account.

    \b
    Example:
      hookline users unlock usr_019ab4…
    """
    with asked_api(organization) as api:
        api.post(path_of("users", user, "unlock"))
        say(f"{user}  unlocked")
