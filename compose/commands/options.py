"""Options that several commands share: named and meant as REST's parameters are."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final, NoReturn
from urllib.parse import quote

import typer

if TYPE_CHECKING:
    from compose.asking import Api

_MOMENT: Final = "2h|TIME|DAY"


class DeliveryState(StrEnum):
    """Where a delivery stands; `sending` is due and not yet reported.

    Those of api/deliveries/tables.py, written again: with it comes SQLAlchemy, and `--help` would take five times as
    long. A test holds them together.
    """

    PENDING = "pending"
    SENDING = "sending"
    RETRYING = "retrying"
    SUCCESS = "success"
    FAILED = "failed"
    HELD = "held"


def new_group(help: str) -> typer.Typer:  # noqa: A002 - typer's own name
    """Return a group of commands that prints its help when it is called alone."""
    group = typer.Typer(rich_markup_mode=None, help=help)

    @group.callback(invoke_without_command=True)
    def alone(context: typer.Context) -> None:
        if context.invoked_subcommand is None:
            typer.echo(context.get_help())

    return group


def asked_api(organization: str | None) -> "Api":
    """Return the API that the environment names, or the running stack's; raises SettingsError."""
    from compose.asking import Api
    from compose.settings import api_of_command

    if organization is not None and not (organization.isascii() and organization.isprintable()):  # it is a header
        raise typer.BadParameter("an organization's id is ASCII, such as org_default", param_hint="--organization")
    return Api(api_of_command(), organization=organization)


def path_of(*parts: str) -> str:
    """Return the path of a route below /api/v1; what a user wrote stays one segment of it."""
    return "/" + "/".join(quote(part, safe="") if part.strip(".") else part.replace(".", "%2E") for part in parts)


def say(text: str) -> None:
    """Print a remark beside the answer, on stderr: what is piped on stays clean."""
    typer.echo(text, err=True)


def end(*, well: bool) -> NoReturn:
    """End the command with 0 or 1."""
    from compose.complaints import ExitCode

    raise typer.Exit(ExitCode.OK if well else ExitCode.FAILED)


def moment_before_now(span: str) -> str:
    """Return the moment that a span such as 1d ago was, as the API takes it."""
    return _moment(span)


def _moment(text: str) -> str:
    from datetime import UTC, datetime

    from compose.moments import moment_of
    from schemas.errors import InvalidInput

    try:
        return moment_of(text, now=datetime.now(UTC))
    except InvalidInput as error:
        raise typer.BadParameter(str(error)) from None


Json = Annotated[bool, typer.Option("--json", help="Print the API's JSON.")]
JsonArray = Annotated[bool, typer.Option("--json", help="Print one JSON array: all there is, or --limit of it.")]
Organization = Annotated[
    str | None, typer.Option(metavar="ID", help="Whose; the administrator's own unless it is given.")
]
Limit = Annotated[int | None, typer.Option(min=1, metavar="N", help="How many at most; 25 in a table.")]
Since = Annotated[str | None, typer.Option(metavar=_MOMENT, parser=_moment, help="Not before: 2h ago, or a time.")]
Until = Annotated[str | None, typer.Option(metavar=_MOMENT, parser=_moment, help="Before this.")]
OneSubscription = Annotated[str | None, typer.Option("--subscription", metavar="SUB", help="Only this subscription's.")]
OneEventType = Annotated[str | None, typer.Option("--event-type", metavar="TYPE", help="Only of this event type.")]
Status = Annotated[
    int | None, typer.Option(metavar="CODE", min=100, max=599, help="Whose last answer had this HTTP status.")
]
ErrorKind = Annotated[
    str | None, typer.Option(metavar="KIND", help="timeout, connect, dns, tls, http, blocked, disconnected, …")
]
EventIdText = Annotated[str | None, typer.Option("--event-id", metavar="TEXT", help="A part of the event's id.")]
