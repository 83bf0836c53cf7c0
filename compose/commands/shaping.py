"""How bodies look: the option that says so, and `hookline subscriptions dry-run`, which tries it out."""

from typing import Annotated, Final

import typer

from compose.commands.filtering import Filter, filters_of
from compose.commands.options import Json, Organization, Since, asked_api, path_of

DEFAULT: Final = "default"  # instead of a payload: takes it away

Payload = Annotated[
    str | None,
    typer.Option(
        "--payload",
        metavar="SHAPE|JSON|@FILE",
        help="How bodies look: full, thin, delivery or timestamp, or an object with include, exclude and mask.",
    ),
]
_Saved = Annotated[str | None, typer.Argument(metavar="SUB", help="As this subscription says, but for the options.")]
_EventTypes = Annotated[
    list[str] | None, typer.Option("--event-type", metavar="TYPE", help="One, user.*, or *; repeat it.")
]
_Limit = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="How many events to look at: 1,000 unless given, 10,000 at most.")
]


def payload_of(given: str | None) -> dict[str, object]:
    """Return the field `payload`; nothing when no option was given, null for `default`.

    What begins with `{` is the object, what begins with `@` names its file, anything else is a shape.
    """
    from compose.publishing import json_given
    from schemas.errors import InvalidInput

    if given is None:
        return {}
    if given == DEFAULT:
        return {"payload": None}
    if not given.lstrip().startswith(("{", "@")):
        return {"payload": {"shape": given}}
    try:
        return {"payload": json_given(given, option="--payload")}
    except InvalidInput as error:
        raise typer.BadParameter(error.detail) from None


def dry_run(  # noqa: PLR0917 - a command's parameters are its options
    subscription: _Saved = None,
    event_type: _EventTypes = None,
    filter_: Filter = None,
    payload: Payload = None,
    since: Since = None,
    limit: _Limit = None,
    json: Json = False,
    organization: Organization = None,
) -> None:
    """Try a filter and a payload on the events that were: how many match, and the first as they would be sent.

    Nothing is saved and nothing is sent. Give a subscription, --event-type, or both.

    \b
    Examples:
      hookline subscriptions dry-run --event-type 'user.*' --filter 'data.amount > 100' --payload thin
      hookline subscriptions dry-run sub_019ab4… --payload '{"exclude": ["data.email"], "mask": ["personal"]}'
      hookline subscriptions dry-run sub_019ab4… --since 2d --limit 10000 --json | jq .matched
    """
    if subscription is None and not event_type:
        raise typer.BadParameter("name a subscription, or say which types", param_hint="--event-type")
    given = {"event_types": event_type or None, "since": since, "limit": limit}
    body = {
        **{name: value for name, value in given.items() if value is not None},
        **filters_of(filter_),
        **payload_of(payload),
    }
    path = "/subscriptions/dry-run" if subscription is None else path_of("subscriptions", subscription, "dry-run")
    with asked_api(organization) as api:
        from compose.showing.bodies import print_body
        from compose.showing.dry_runs import print_dry_run

        found = api.ask("POST", path, body=body)
        print_body(found) if json else print_dry_run(found)
