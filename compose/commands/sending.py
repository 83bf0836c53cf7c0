"""Options of how a subscription is sent to, and the fields of a body that they become.

The words are schemas/records.py's, written again: importing it would take a third of the time that `--help` takes. A
test holds them together.
"""

import re
from enum import StrEnum
from typing import Annotated, Final

import typer

DEFAULT: Final = "default"  # instead of a value: takes a setting back
_PERIODS: Final = {"s": "second", "m": "minute"}
_RATE: Final = re.compile(r"([0-9]{1,9})/([sm])")


class Ordering(StrEnum):
    """In which order deliveries arrive; the API's own words."""

    NONE = "none"
    PER_KEY = "per_key"
    STRICT = "strict"


class OnExhaustion(StrEnum):
    """What becomes of an ordered delivery whose attempts are used up."""

    DEAD_LETTER = "dead_letter"
    BLOCK = "block"


class Style(StrEnum):
    """How webhooks are signed."""

    STANDARD = "standard"
    TIMESTAMPED = "timestamped"
    HEX = "hex"


def _rate_limit(given: str) -> object:
    parts = _RATE.fullmatch(given)
    if given != DEFAULT and parts is None:
        raise typer.BadParameter("write it as 50/s, 600/m, or default")
    return given if parts is None else {"limit": int(parts[1]), "per": _PERIODS[parts[2]]}


def _whole(given: str) -> object:
    try:
        return given if given == DEFAULT else int(given)
    except ValueError:
        raise typer.BadParameter("give a whole number, or default") from None


def _number(given: str) -> object:
    try:
        return given if given == DEFAULT else float(given)
    except ValueError:
        raise typer.BadParameter("give a number, or default") from None


RateLimit = Annotated[
    object | None,
    typer.Option(metavar="N/s|N/m|default", parser=_rate_limit, help="Deliveries a second or a minute, at most."),
]
MaxInFlight = Annotated[
    object | None, typer.Option(metavar="N|default", parser=_whole, help="Requests open at once, at most.")
]
CatchUpRate = Annotated[
    object | None,
    typer.Option(metavar="N|default", parser=_number, help="Deliveries a second while it catches up, at most."),
]
OrderingOption = Annotated[
    Ordering | None, typer.Option("--ordering", help="In the order of the log, or as they come.")
]
OnExhaustionOption = Annotated[
    OnExhaustion | None, typer.Option("--on-exhaustion", help="When an ordered delivery's attempts are used up.")
]
AllowAddress = Annotated[
    list[str] | None,
    typer.Option("--allow-address", metavar="CIDR|default", help="Send to these addresses only; repeat it."),
]
SignatureOption = Annotated[Style | None, typer.Option("--signature", help="How webhooks are signed.")]
SignatureHeader = Annotated[
    str | None, typer.Option(metavar="NAME|default", help="The signature's header; the style's own by default.")
]
EventTypeHeader = Annotated[
    str | None, typer.Option(metavar="NAME|default", help="A header with the event's type; none by default.")
]
DeliveryIdHeader = Annotated[
    str | None, typer.Option(metavar="NAME|default", help="A header with the delivery's id; none by default.")
]


def sending_of(
    *,
    rate_limit: object | None,
    max_in_flight: object | None,
    catch_up_rate: object | None,
    ordering: Ordering | None,
    on_exhaustion: OnExhaustion | None,
    allow_address: list[str] | None,
    signature: Style | None,
    signature_header: str | None,
    event_type_header: str | None,
    delivery_id_header: str | None,
) -> dict[str, object]:
    """Return the fields that options name, null for `default`; what was not given is left out."""
    signed = _given({"style": signature, "header": signature_header})
    return _given(
        {
            "rate_limit": rate_limit,
            "max_in_flight": max_in_flight,
            "catch_up_rate_per_s": catch_up_rate,
            "ordering": ordering,
            "on_exhaustion": on_exhaustion,
            "allowed_addresses": DEFAULT if allow_address == [DEFAULT] else allow_address or None,
            "signature": signed or None,
            "event_type_header": event_type_header,
            "delivery_id_header": delivery_id_header,
        }
    )


def _given(options: dict[str, object]) -> dict[str, object]:
    return {name: None if value == DEFAULT else value for name, value in options.items() if value is not None}
