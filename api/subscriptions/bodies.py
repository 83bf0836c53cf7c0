"""The JSON of subscriptions: what comes in and what goes out."""

import re
from datetime import datetime
from typing import Annotated, Any, Final

import orjson
from pydantic import ConfigDict, Field, JsonValue, SecretStr

from api.fields import holds, without_default
from api.subscriptions.filtering import EXAMPLE, FilteringPatch, FilteringSettings, ShownFiltering
from api.subscriptions.headers import MASK, check_headers, checked_header
from api.subscriptions.payloads import GIVEN as PAYLOAD
from api.subscriptions.payloads import PayloadPatch, PayloadSettings, ShownPayload
from api.subscriptions.sending import GIVEN, SendingPatch, SendingSettings, ShownSending
from api.subscriptions.standing import Delivering
from api.subscriptions.tables import SubscriptionState
from schemas.errors import InvalidInput
from schemas.patterns import check_pattern
from schemas.signing import key_of

DEFAULT_TIMEOUT_S: Final = 15.0
MOST_EVENT_TYPES: Final = 100
LARGEST_METADATA_BYTES: Final = 8192
_HEX_SECRET: Final = re.compile(r"[0-9A-Fa-f]{64}")

_FULL: Final = "null: the full body."
_SETTINGS: Final[dict[str, Any]] = {
    "url": "https://example.com/webhooks",
    "event_types": ["user.created", "quest.*"],
    "description": "Billing",
    "timeout_s": 10,
    "metadata": {"team": "billing"},
    "filters": EXAMPLE,
    "payload": PAYLOAD,
    **GIVEN,
}
_SHOWN: Final[dict[str, Any]] = {
    **_SETTINGS,
    "id": "sub_019a9f2a11127a3b8c4d5e6f708192a3",
    "headers": {"X-Team": "***"},
    "enabled": True,
    "state": "enabled",
    "disabled_reason": None,
    "disabled_at": None,
    "paused_at": None,
    "filter_errors": {
        "count": 0,
        "last_error": None,
        "last_event_id": None,
        "last_at": None,
        "since_version": 1,
    },
    "delivering": {"state": "live", "reason": None, "since": None, "not_before": None},
    "transformation_version": 1,
    "version": 1,
    "created_at": "2026-11-21T09:30:00Z",
    "updated_at": "2026-11-21T09:30:00Z",
}


def _check_event_types(patterns: list[str]) -> None:
    if len(set(patterns)) < len(patterns):
        raise InvalidInput("name each event type once")


def _check_own_headers(headers: dict[str, Any]) -> None:
    for name, value in headers.items():
        checked_header(name, "removed" if value is None else value)
    check_headers(headers)


def _check_new_headers(headers: dict[str, str]) -> None:
    _check_own_headers(headers)
    if MASK in headers.values():
        raise InvalidInput(f"{MASK} is how we hide a value: give the value itself")


def check_metadata(metadata: dict[str, JsonValue]) -> None:
    """Raise InvalidInput when metadata is too large, or holds a number that JSON's readers would not keep."""
    try:
        size = len(orjson.dumps(metadata))
    except orjson.JSONEncodeError as error:
        raise InvalidInput(f"cannot be kept: {error}") from None
    if size > LARGEST_METADATA_BYTES:
        raise InvalidInput(f"holds {size:,} bytes of JSON; at most {LARGEST_METADATA_BYTES:,} are kept")


def _check_secret(secret: SecretStr) -> None:
    key_of_given(secret)


def key_of_given(secret: SecretStr) -> bytes:
    """Return the key bytes of a caller's own secret.

    `whsec_…` as Standard Webhooks writes it, or 64 hexadecimal characters from an older system. Such systems give the
    text itself to HMAC (`hmac.new(secret.encode(), …)`), so the key is its 64 ASCII bytes, not the 32 that it spells:
    a receiver goes on with the string that it has. Raises InvalidInput, never quoting the secret.
    """
    text = secret.get_secret_value()
    return text.encode("ascii") if _HEX_SECRET.fullmatch(text) else key_of(text)


Url = Annotated[str, Field(min_length=1, max_length=2048, examples=["https://example.com/webhooks"])]
Pattern = Annotated[str, holds(check_pattern)]  # whether it matches a type of the organization's, its route asks
EventTypes = Annotated[
    list[Pattern],
    Field(
        min_length=1,
        max_length=MOST_EVENT_TYPES,
        description="Names, `user.*` for all that begin with `user.`, or `*` for all; two stars say the same as one.",
        examples=[["user.created", "quest.*"]],
    ),
    holds(_check_event_types),
]
Description = Annotated[str, Field(max_length=1000)]
OwnHeaders = Annotated[dict[str, str], Field(description="Sent with every webhook."), holds(_check_new_headers)]
HeadersReplaced = Annotated[
    dict[str, str],
    Field(description="Sent with every webhook; `***` takes over the value that is kept under this name."),
    holds(_check_own_headers),
]
HeadersPatch = Annotated[
    dict[str, str | None],
    Field(description="Merged with those that are kept: null removes one, `***` leaves it as it is."),
    holds(_check_own_headers),
]
TimeoutS = Annotated[float, Field(ge=1, le=60, allow_inf_nan=False, description="Seconds one attempt may take.")]
Metadata = Annotated[dict[str, JsonValue], holds(check_metadata)]
Secret = Annotated[
    SecretStr,
    Field(
        description=(
            "Your own: `whsec_…` of 24 to 64 bytes, or 64 hexadecimal characters from an older system. These are the "
            "key as they stand, as 64 bytes of ASCII: the answer shows them as `whsec_` and base64 of these bytes."
        )
    ),
    holds(_check_secret),
]


class NewSubscription(FilteringSettings, SendingSettings):
    """What makes a subscription. null is the same as leaving an optional field out."""

    model_config = ConfigDict(json_schema_extra={"examples": [{**_SETTINGS, "headers": {"X-Team": "billing"}}]})

    url: Url
    event_types: EventTypes
    description: Description | None = None
    headers: OwnHeaders | None = None
    timeout_s: TimeoutS | None = Field(default=None, description="Seconds one attempt may take; 15 unless given.")
    enabled: bool = True
    metadata: Metadata | None = None
    payload: PayloadSettings | None = Field(default=None, description=_FULL)
    secret: Secret | None = None


class SubscriptionReplacement(FilteringSettings, SendingSettings):
    """All that a subscription says, its secret apart: a field that is left out, or null, gets its default.

    One that is paused stays so: it is resumed by name.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{**_SETTINGS, "headers": {"X-Team": "***"}}]})

    url: Url
    event_types: EventTypes
    description: Description | None = None
    headers: HeadersReplaced | None = None
    timeout_s: TimeoutS | None = Field(default=None, description="Seconds one attempt may take; 15 unless given.")
    enabled: bool = True
    metadata: Metadata | None = None
    payload: PayloadSettings | None = Field(default=None, description=_FULL)


class SubscriptionPatch(FilteringPatch, SendingPatch):
    """A merge patch (RFC 7396): fields that are left out stay, null takes an optional one back to its default.

    What was given is in `model_fields_set`; the values of the other fields mean nothing.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"event_types": ["quest.*"], "enabled": True}, {"rate_limit": {"limit": 5}, "ordering": None}]
        }
    )

    url: Url = Field(default="", json_schema_extra=without_default)
    event_types: EventTypes = Field(default=[], json_schema_extra=without_default)
    enabled: bool = Field(default=True, json_schema_extra=without_default)
    description: Description | None = Field(default=None, json_schema_extra=without_default)
    headers: HeadersPatch | None = Field(default=None, json_schema_extra=without_default)
    timeout_s: TimeoutS | None = Field(default=None, json_schema_extra=without_default)
    metadata: dict[str, JsonValue] | None = Field(default=None, json_schema_extra=without_default)
    payload: PayloadPatch | None = Field(
        default=None, description=f"Merged; {_FULL}", json_schema_extra=without_default
    )


class SubscriptionBody(ShownFiltering, ShownSending):
    """A subscription as it is shown: never its secret, and its own headers without their values."""

    model_config = ConfigDict(json_schema_extra={"examples": [_SHOWN]})

    id: str
    url: str
    event_types: list[str]
    description: str | None
    headers: dict[str, str] = Field(description=f"Their values are hidden: `{MASK}`.")
    timeout_s: float
    enabled: bool
    state: SubscriptionState = Field(
        description=(
            "`disabled`: what it misses is held; `paused`: it gets everything later, when it is resumed; `failing`: "
            "its last attempts failed, three or more."
        )
    )
    disabled_reason: str | None = Field(
        description=(
            "`manual`: a caller did it; `gone`: the receiver answered 410; `exhausted`: deliveries in a row were given "
            "up; `failing`: attempts in a row failed for a day or more; null while it is enabled."
        )
    )
    disabled_at: datetime | None = Field(description="When it was disabled; null while it is enabled.")
    paused_at: datetime | None = Field(description="Since when it is paused; null while it is not.")
    delivering: Delivering
    metadata: dict[str, JsonValue]
    payload: ShownPayload | None = Field(description=_FULL)
    transformation_version: int = Field(
        description="Rises with every change of `payload`, from 0; each attempt says with which it was sent."
    )
    version: int = Field(description="Rises with every change; the ETag holds it too.")
    created_at: datetime
    updated_at: datetime


class SubscriptionWithSecret(SubscriptionBody):
    """A subscription that was just made or got another secret: this is the only answer that shows it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{**_SHOWN, "secret": f"whsec_{'A' * 43}="}]})

    secret: str
