"""`hookline applications`: an organization's OAuth clients."""

from typing import Annotated

import typer

from compose.commands.options import Json, JsonArray, Limit, Organization, asked_api, new_group, path_of, say

app = new_group("Register OAuth clients, rotate their secrets, approve other organizations' ones.")

Id = Annotated[str, typer.Argument(metavar="APP", help="The client id, app_….")]


@app.command("list")
def list_(limit: Limit = None, json: JsonArray = False, organization: Organization = None) -> None:
    """List applications.

    \b
    Example:
      hookline applications list --json | jq -r '.[].id'
    """
    with asked_api(organization) as api:
        from compose.showing.identity import print_applications
        from compose.showing.lists import print_list

        print_list(api, "/applications", {}, limit=limit, as_json=json, show=print_applications)


@app.command()
def add(  # noqa: PLR0917 - a command's parameters are its options
    name: Annotated[str, typer.Argument(help="What the consent page calls it.")],
    scope: Annotated[list[str], typer.Option("--scope", help="What it may ask for; repeat it.")],
    redirect_uri: Annotated[
        list[str] | None, typer.Option("--redirect-uri", metavar="URI", help="Exactly as it will be sent; repeat it.")
    ] = None,
    grant: Annotated[
        list[str] | None,
        typer.Option("--grant", help="authorization_code, refresh_token, client_credentials; repeat it."),
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="It cannot keep a secret: PKCE alone.")] = False,
    json: Json = False,
    organization: Organization = None,
) -> None:
    """Register an application and print its client id and, this once, its secret.

    \b
    Examples:
      hookline applications add Canvas --redirect-uri https://canvas.example/callback --scope read
      hookline applications add "Nightly report" --scope deliveries:read --grant client_credentials --json
    """
    with asked_api(organization) as api:
        from compose.showing.bodies import print_body
        from compose.showing.identity import print_new_application

        body = {
            "name": name,
            "kind": "public" if public else "confidential",
            "redirect_uris": redirect_uri or [],
            "scopes": scope,
            "grants": grant or ["authorization_code", "refresh_token"],
        }
        made = api.post("/applications", body)
        print_body(made) if json else print_new_application(made)


@app.command("rotate-secret")
def rotate_secret(
    application: Id,
    overlap: Annotated[str | None, typer.Option(metavar="24h", help="How long the old one works too.")] = None,
    json: Json = False,
    organization: Organization = None,
) -> None:
    """Give an application a new secret and print it, this once.

    \b
    Example:
      hookline applications rotate-secret app_019ab4… --overlap 1h
    """
    with asked_api(organization) as api:
        from compose.showing.bodies import print_body
        from compose.showing.identity import print_new_application

        made = api.post(path_of("applications", application, "rotate-secret"), {"overlap": overlap})
        print_body(made) if json else print_new_application(made)


@app.command()
def approve(application: Id, organization: Organization = None) -> None:
    """Let this organization's users use another organization's application.

    \b
    Example:
      hookline applications approve app_019ab4… --organization org_acme
    """
    with asked_api(organization) as api:
        api.post("/application-approvals", {"client_id": application})
        say(f"{application}  approved")


@app.command()
def remove(application: Id, organization: Organization = None) -> None:
    """Delete an application: everything that users granted it ends.

    \b
    Example:
      hookline applications remove app_019ab4…
    """
    with asked_api(organization) as api:
        api.ask("DELETE", path_of("applications", application))
        say(f"{application}  deleted")
