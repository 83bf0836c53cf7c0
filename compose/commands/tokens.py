"""`hookline tokens`: what machines call the API with."""

from typing import Annotated

import typer

from compose.commands.options import Json, JsonArray, Limit, Organization, asked_api, new_group, path_of, say

app = new_group("Give services API tokens, and take them back.")

Id = Annotated[str, typer.Argument(metavar="TOK", help="The token's id, tok_….")]


@app.command("list")
def list_(limit: Limit = None, json: JsonArray = False, organization: Organization = None) -> None:
    """List API tokens with when they were last used; never what they are.

    \b
    Examples:
      hookline tokens list
      hookline tokens list --json | jq -r '.[] | select(.last_used_at == null) | .id'
    """
    with asked_api(organization) as api:
        from compose.showing.identity import print_tokens
        from compose.showing.lists import print_list

        print_list(api, "/api-tokens", {}, limit=limit, as_json=json, show=print_tokens)


@app.command()
def add(  # noqa: PLR0917 - a command's parameters are its options
    name: Annotated[str, typer.Argument(help="For people: what it is for.")],
    scope: Annotated[list[str], typer.Option("--scope", help="read, write, a permission, or resource:*; repeat it.")],
    days: Annotated[int | None, typer.Option(min=1, max=3650, metavar="N", help="Valid for so many days.")] = None,
    allow_address: Annotated[
        list[str] | None, typer.Option("--allow-address", metavar="CIDR", help="Works from there only; repeat it.")
    ] = None,
    rate_limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="Requests a minute of its own.")] = None,
    json: Json = False,
    organization: Organization = None,
) -> None:
    """Make an API token and print it, this once. It may do what its scopes say, and no more than whoever makes it.

    \b
    Examples:
      hookline tokens add billing --scope events:publish --days 90
      hookline tokens add dashboard --scope read --allow-address 203.0.113.0/24 --json | jq -r .token
    """
    with asked_api(organization) as api:
        from datetime import timedelta

        from compose.showing.bodies import print_body
        from compose.showing.identity import print_new_token

        expires_at = None if days is None else (api.now() + timedelta(days=days)).isoformat()
        body = {
            "name": name,
            "scopes": scope,
            "expires_at": expires_at,
            "allowed_addresses": allow_address,
            "rate_limit": rate_limit,
        }
        made = api.post("/api-tokens", body)
        print_body(made) if json else print_new_token(made)


@app.command()
def revoke(token: Id, organization: Organization = None) -> None:
    """Revoke an API token: it is refused within 2 s, by every process.

    \b
    Example:
      hookline tokens revoke tok_019ab4…
    """
    with asked_api(organization) as api:
        api.ask("DELETE", path_of("api-tokens", token))
        say(f"{token}  revoked")
