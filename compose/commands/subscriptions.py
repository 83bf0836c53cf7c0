"""`hookline subscriptions`: who receives what, and where."""

import sys
from enum import StrEnum
from typing import Annotated

import typer

from compose.commands.filtering import Filter, filters_of
from compose.commands.options import Json, JsonArray, Limit, Organization, asked_api, end, new_group, path_of, say
from compose.commands.sending import (
    AllowAddress,
    CatchUpRate,
    DeliveryIdHeader,
    EventTypeHeader,
    MaxInFlight,
    OnExhaustionOption,
    OrderingOption,
    RateLimit,
    SignatureHeader,
    SignatureOption,
    sending_of,
)
from compose.commands.shaping import Payload, dry_run, payload_of
from compose.commands.standing import lag, recover

app = new_group("Manage subscriptions: who receives which events, and where.")


class State(StrEnum):
    """Which subscriptions a list holds; failing: sent to, and its last attempts failed."""

    ENABLED = "enabled"
    DISABLED = "disabled"
    PAUSED = "paused"
    FAILING = "failing"


def _secret(given: str) -> str:
    """Return the secret in a file or on standard input."""
    from pathlib import Path

    if given == "-":
        return sys.stdin.readline().strip()
    if not given.startswith("@"):
        raise typer.BadParameter("what is written here others on this machine can see: give @FILE, or - for stdin")
    try:
        return Path(given[1:]).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"cannot read {given[1:]}: {type(error).__name__}") from None


def _header(given: str) -> tuple[str, str]:
    name, colon, value = given.partition(":")
    if not colon:
        raise typer.BadParameter("write it as 'Name: value'")
    return name.strip(), value.strip()


Id = Annotated[str, typer.Argument(metavar="SUB", help="The subscription's id.")]
Ids = Annotated[list[str], typer.Argument(metavar="SUB…", help="The ids, at most 100.")]
Secret = Annotated[
    str | None,
    typer.Option(metavar="@FILE|-", parser=_secret, help="Your own: whsec_…, or 64 hex characters of an older system."),
]


@app.command("list")
def list_(  # noqa: PLR0917 - a command's parameters are its options
    state: Annotated[State | None, typer.Option(help="Only those in this state.")] = None,
    event_type: Annotated[str | None, typer.Option(metavar="TYPE", help="Those that would receive it.")] = None,
    text: Annotated[str | None, typer.Option(help="In the URL or the description.")] = None,
    limit: Limit = None,
    json: JsonArray = False,
    organization: Organization = None,
) -> None:
    """List subscriptions, oldest first.

    \b
    Examples:
      hookline subscriptions list --state failing
      hookline subscriptions list --event-type user.created --json | jq -r '.[].url'
    """
    with asked_api(organization) as api:
        from compose.showing.lists import print_list
        from compose.showing.subscriptions import print_subscriptions

        params = {"state": state, "event_type": event_type, "text": text}
        print_list(api, "/subscriptions", params, limit=limit, as_json=json, show=print_subscriptions)


@app.command()
def add(  # noqa: PLR0917
    url: Annotated[str, typer.Argument(help="Where webhooks are sent.")],
    event_type: Annotated[
        list[str], typer.Option("--event-type", metavar="TYPE", help="One, user.*, or *; repeat it.")
    ],
    description: Annotated[str | None, typer.Option(help="For people.")] = None,
    header: Annotated[
        list[str] | None, typer.Option("--header", metavar="'NAME: VALUE'", help="Sent with each; repeat it.")
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="1 to 60 an attempt; 15 unless given.")
    ] = None,
    disabled: Annotated[bool, typer.Option("--disabled", help="Begin disabled.")] = False,
    metadata: Annotated[str | None, typer.Option(metavar="JSON|@FILE", help="Whatever you want to keep.")] = None,
    filter_: Filter = None,
    payload: Payload = None,
    rate_limit: RateLimit = None,
    max_in_flight: MaxInFlight = None,
    catch_up_rate: CatchUpRate = None,
    ordering: OrderingOption = None,
    on_exhaustion: OnExhaustionOption = None,
    allow_address: AllowAddress = None,
    signature: SignatureOption = None,
    signature_header: SignatureHeader = None,
    event_type_header: EventTypeHeader = None,
    delivery_id_header: DeliveryIdHeader = None,
    secret: Secret = None,
    json: Json = False,
    organization: Organization = None,
) -> None:
    """Add a subscription and print it with its secret, which is shown this once. In force within 2 s.

    \b
    Examples:
      hookline subscriptions add https://example.com/webhooks --event-type user.created --event-type 'quest.*'
      hookline subscriptions add http://127.0.0.1:9000/hooks --event-type '*' --header 'X-Stage: test' --timeout 5
      hookline subscriptions add https://example.com/old --event-type 'user.*' --secret @old-secret --json
      hookline subscriptions add https://example.com/hooks --event-type '*' --rate-limit 50/s --ordering per_key
      hookline subscriptions add https://example.com/hooks --event-type '*' --filter 'data.amount > 100'
      hookline subscriptions add https://example.com/hooks --event-type 'user.*' --payload thin
    """
    body = {
        "url": url,
        "event_types": event_type,
        "description": description,
        "headers": dict(_header(each) for each in header) if header else None,
        "timeout_s": timeout,
        "enabled": not disabled,
        "metadata": _json(metadata),
        "secret": secret,
        **filters_of(filter_),
        **payload_of(payload),
        **sending_of(
            rate_limit=rate_limit,
            max_in_flight=max_in_flight,
            catch_up_rate=catch_up_rate,
            ordering=ordering,
            on_exhaustion=on_exhaustion,
            allow_address=allow_address,
            signature=signature,
            signature_header=signature_header,
            event_type_header=event_type_header,
            delivery_id_header=delivery_id_header,
        ),
    }
    with asked_api(organization) as api:
        _print(api.post("/subscriptions", body), as_json=json)


@app.command()
def show(subscription: Id, json: Json = False, organization: Organization = None) -> None:
    """Show a subscription: never its secret. How it does: hookline stats --subscription SUB.

    \b
    Example:
      hookline subscriptions show sub_019ab4…
    """
    with asked_api(organization) as api:
        _print(api.get(path_of("subscriptions", subscription)), as_json=json)


@app.command()
def change(  # noqa: PLR0917
    subscription: Id,
    url: Annotated[str | None, typer.Option(metavar="URL", help="Where webhooks are sent.")] = None,
    event_type: Annotated[
        list[str] | None, typer.Option("--event-type", metavar="TYPE", help="All that it wants from now on; repeat it.")
    ] = None,
    description: Annotated[str | None, typer.Option(help="For people.")] = None,
    header: Annotated[
        list[str] | None, typer.Option("--header", metavar="'NAME: VALUE'", help="Beside those it has; repeat it.")
    ] = None,
    timeout: Annotated[float | None, typer.Option(metavar="SECONDS", help="1 to 60 an attempt.")] = None,
    filter_: Filter = None,
    payload: Payload = None,
    rate_limit: RateLimit = None,
    max_in_flight: MaxInFlight = None,
    catch_up_rate: CatchUpRate = None,
    ordering: OrderingOption = None,
    on_exhaustion: OnExhaustionOption = None,
    allow_address: AllowAddress = None,
    signature: SignatureOption = None,
    signature_header: SignatureHeader = None,
    event_type_header: EventTypeHeader = None,
    delivery_id_header: DeliveryIdHeader = None,
    json: Json = False,
    organization: Organization = None,
) -> None:
    """Change what the options name and leave the rest; `default` takes a setting back. In force within 2 s.

    \b
    Examples:
      hookline subscriptions change sub_019ab4… --rate-limit 600/m --max-in-flight 4
      hookline subscriptions change sub_019ab4… --ordering per_key --on-exhaustion block
      hookline subscriptions change sub_019ab4… --signature hex --signature-header X-Hub-Signature-256
      hookline subscriptions change sub_019ab4… --rate-limit default --allow-address default
      hookline subscriptions change sub_019ab4… --filter '{"prefix": {"source": "/services/"}}'
      hookline subscriptions change sub_019ab4… --payload '{"exclude": ["data.email"], "mask": ["personal"]}'
    """
    plain = {
        "url": url,
        "event_types": event_type or None,
        "description": description,
        "headers": dict(_header(each) for each in header) if header else None,
        "timeout_s": timeout,
    }
    patch = {
        **{name: value for name, value in plain.items() if value is not None},
        **filters_of(filter_),
        **payload_of(payload),
        **sending_of(
            rate_limit=rate_limit,
            max_in_flight=max_in_flight,
            catch_up_rate=catch_up_rate,
            ordering=ordering,
            on_exhaustion=on_exhaustion,
            allow_address=allow_address,
            signature=signature,
            signature_header=signature_header,
            event_type_header=event_type_header,
            delivery_id_header=delivery_id_header,
        ),
    }
    if not patch:
        raise typer.BadParameter("say what to change, with at least one option")
    with asked_api(organization) as api:
        _print(api.ask("PATCH", path_of("subscriptions", subscription), body=patch), as_json=json)


@app.command("test")
def try_out(subscription: Id, json: Json = False, organization: Organization = None) -> None:
    """Send `hookline.test` once, also to a disabled or paused subscription, and print what the receiver said.

    Nothing is tried again and nothing is counted. Exit code 1 when it was not taken.

    \b
    Example:
      hookline subscriptions test sub_019ab4…
    """
    with asked_api(organization) as api:
        from compose.showing.attempts import print_attempt
        from compose.showing.bodies import print_body

        attempt = api.post(path_of("subscriptions", subscription, "test"))
        if json:
            print_body(attempt)
        elif "state" in attempt:
            print_attempt(attempt)
        if "state" not in attempt:  # 202: no outcome within the subscription's timeout and 5 s
            say(f"no outcome yet: look at it with `hookline deliveries show {attempt['delivery_id']}`")
        end(well=attempt.get("state") == "success")


@app.command()
def enable(subscriptions: Ids, json: Json = False, organization: Organization = None) -> None:
    """Enable subscriptions. What was held meanwhile is not sent by itself: subscriptions recover.

    \b
    Examples:
      hookline subscriptions enable sub_019ab4…
      hookline subscriptions list --state disabled --json | jq -r '.[].id' | xargs hookline subscriptions enable
    """
    _change("enable", subscriptions, as_json=json, organization=organization)


@app.command()
def disable(subscriptions: Ids, json: Json = False, organization: Organization = None) -> None:
    """Disable subscriptions: what they miss is held and can be replayed.

    \b
    Example:
      hookline subscriptions disable sub_019ab4…
    """
    _change("disable", subscriptions, as_json=json, organization=organization)


@app.command()
def pause(subscriptions: Ids, json: Json = False, organization: Organization = None) -> None:
    """Pause subscriptions: nothing is sent to them and nothing is lost; it all waits until they are resumed.

    \b
    Example:
      hookline subscriptions pause sub_019ab4…
    """
    _change("pause", subscriptions, as_json=json, organization=organization)


@app.command()
def resume(
    subscriptions: Ids,
    rate: Annotated[
        float | None, typer.Option(metavar="N", help="Deliveries a second while it catches up, from now on.")
    ] = None,
    json: Json = False,
    organization: Organization = None,
) -> None:
    """Resume subscriptions: what waited is sent first, in order, at the rate given or at the one each has.

    \b
    Examples:
      hookline subscriptions resume sub_019ab4… --rate 20
      hookline subscriptions list --state paused --json | jq -r '.[].id' | xargs hookline subscriptions resume
    """
    if rate is not None and len(subscriptions) > 1:
        raise typer.BadParameter("goes with one subscription: name them one by one", param_hint="--rate")
    body: dict[str, object] | None = None if rate is None else {"rate_per_s": rate}
    _change("resume", subscriptions, as_json=json, organization=organization, body=body)


@app.command("rotate-secret")
def rotate_secret(
    subscription: Id,
    overlap: Annotated[str | None, typer.Option(metavar="24h", help="How long the old one signs too.")] = None,
    secret: Secret = None,
    json: Json = False,
    organization: Organization = None,
) -> None:
    """Give a subscription a new secret and print it, this once. For the overlap webhooks carry both signatures.

    \b
    Examples:
      hookline subscriptions rotate-secret sub_019ab4…
      hookline subscriptions rotate-secret sub_019ab4… --overlap 1h --json | jq -r .secret
    """
    with asked_api(organization) as api:
        rotated = api.post(
            path_of("subscriptions", subscription, "rotate-secret"), {"overlap": overlap, "secret": secret}
        )
        _print(rotated, as_json=json)


@app.command()
def delete(
    subscriptions: Ids,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Json = False,
    organization: Organization = None,
) -> None:
    """Delete subscriptions. What waits to be sent to them is not sent any more; the log stays.

    \b
    Example:
      hookline subscriptions delete sub_019ab4… --yes
    """
    if not yes:
        if not sys.stdin.isatty():
            raise typer.BadParameter("without a terminal to ask on, say --yes", param_hint="--yes")
        if not typer.confirm(f"Delete {', '.join(subscriptions)}?", err=True):
            say("nothing was deleted")
            end(well=False)
    _change("delete", subscriptions, as_json=json, organization=organization)


app.command("dry-run")(dry_run)
app.command()(lag)
app.command()(recover)


def _change(
    action: str,
    identifiers: list[str],
    *,
    as_json: bool,
    organization: str | None,
    body: dict[str, object] | None = None,
) -> None:
    from compose.showing.bodies import print_body

    with asked_api(organization) as api:
        if len(identifiers) == 1:
            path = path_of("subscriptions", identifiers[0])
            changed = api.ask("DELETE", path) if action == "delete" else api.post(f"{path}/{action}", body)
            if as_json and changed:
                print_body(changed)
            elif not as_json:
                typer.echo(f"{identifiers[0]}  {action}d")
            return
        results = api.post("/subscriptions/bulk", {"action": action, "ids": identifiers})
        if as_json:
            print_body(results)
        else:
            for each in results["results"]:
                typer.echo(f"{each['id']}  {f'{action}d' if each['ok'] else each['error']['detail']}")
        end(well=all(each["ok"] for each in results["results"]))


def _print(subscription: dict[str, object], *, as_json: bool) -> None:
    from compose.showing.bodies import print_body
    from compose.showing.subscriptions import print_subscription

    print_body(subscription) if as_json else print_subscription(subscription)


def _json(given: str | None) -> object:
    from compose.publishing import json_given
    from schemas.errors import InvalidInput

    try:
        return None if given is None else json_given(given, option="--metadata")
    except InvalidInput as error:
        raise typer.BadParameter(error.detail) from None
