"""`hookline members`: who belongs to an organization, and who is invited."""

from typing import Annotated

import typer

from compose.commands.options import Json, JsonArray, Limit, Organization, asked_api, new_group, path_of, say

app = new_group("See and change who belongs to an organization.")

Id = Annotated[str, typer.Argument(metavar="USR", help="The user's id, usr_….")]
Role = Annotated[str, typer.Option(help="owner, admin, developer, operator, viewer, or a role of your own (rol_…).")]


@app.command("list")
def list_(limit: Limit = None, json: JsonArray = False, organization: Organization = None) -> None:
    """List members and their roles.

    \b
    Example:
      hookline members list --organization org_acme
    """
    with asked_api(organization) as api:
        from compose.showing.identity import print_members
        from compose.showing.lists import print_list

        print_list(api, "/members", {}, limit=limit, as_json=json, show=print_members)


@app.command()
def invite(
    email: Annotated[str, typer.Argument(help="Whom.")],
    role: Role = "viewer",
    json: Json = False,
    organization: Organization = None,
) -> None:
    """Invite somebody by e-mail; the link works once, for seven days.

    \b
    Example:
      hookline members invite ada@example.com --role developer
    """
    with asked_api(organization) as api:
        from compose.showing.bodies import print_body

        invited = api.post("/members/invitations", {"email": email, "role": role})
        print_body(invited) if json else say(f"{invited['id']}  {email} is invited as {role}")


@app.command()
def change(member: Id, role: Role, json: Json = False, organization: Organization = None) -> None:
    """Give a member another role.

    \b
    Example:
      hookline members change usr_019ab4… --role admin
    """
    with asked_api(organization) as api:
        from compose.showing.bodies import print_body

        changed = api.ask("PATCH", path_of("members", member), body={"role": role})
        print_body(changed) if json else say(f"{member}  is {role} now")


@app.command()
def remove(member: Id, organization: Organization = None) -> None:
    """Remove a member: sessions and granted applications end for this organization.

    \b
    Example:
      hookline members remove usr_019ab4…
    """
    with asked_api(organization) as api:
        api.ask("DELETE", path_of("members", member))
        say(f"{member}  removed")
