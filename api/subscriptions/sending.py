"""The JSON of how a subscription is sent to: how fast, in which order, to which addresses, signed how."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, Field

from api.fields import holds, without_default
from api.requests import JsonBody
from schemas.addresses import MOST_NETWORKS, checked_networks
from schemas.header_names import checked_header_name
from schemas.records import OnExhaustion, Ordering, SignatureStyle

HIGHEST_RATE: Final = 100_000
HIGHEST_CATCH_UP_RATE: Final = 10_000
LOWEST_CATCH_UP_RATE: Final = 0.01  # one in 100 s: what is slower is a pause
MOST_IN_FLIGHT: Final = 1000

GIVEN: Final[dict[str, Any]] = {
    "rate_limit": {"limit": 50, "per": "second"},
    "max_in_flight": 4,
    "catch_up_rate_per_s": 20,
    "ordering": "per_key",
    "on_exhaustion": "dead_letter",
    "allowed_addresses": ["93.184.216.0/24"],
    "signature": {"style": "hex", "header": "X-Signature"},
    "event_type_header": "X-Event-Type",
    "delivery_id_header": None,
}

Per = Literal["second", "minute"]
Limit = Annotated[int, Field(ge=1, le=HIGHEST_RATE)]
MaxInFlight = Annotated[
    int,
    Field(ge=1, le=MOST_IN_FLIGHT, description="Requests open to it at once, at most; null: the workers' own bound."),
]
CatchUpRate = Annotated[
    float,
    Field(
        ge=LOWEST_CATCH_UP_RATE,
        le=HIGHEST_CATCH_UP_RATE,
        allow_inf_nan=False,
        description=(
            "Deliveries a second, at most, while it catches up with what waited during a pause or an outage; null: as "
            "fast as its other settings allow."
        ),
    ),
]
OrderingField = Annotated[
    Ordering,
    Field(
        strict=False,
        description=(
            "`none` (null too): each delivery for itself. `per_key`: events of one key arrive in the order of the log, "
            "and when one fails, its followers wait for it and other keys go on. `strict`: one after the other, all of "
            "them. A change is in force for what is sent from then on: retries that wait already arrive when they are "
            "due, also out of the new order, and what waited for its turn only is sent at once when it is `none` again."
        ),
    ),
]
OnExhaustionField = Annotated[
    OnExhaustion,
    Field(
        strict=False,
        description=(
            "When an ordered delivery's attempts are used up: `dead_letter` (null too) gives it up and goes on with "
            "the next; `block` sends none of its followers until somebody helps. Without an ordering it means nothing."
        ),
    ),
]
Network = Annotated[str, Field(min_length=2, max_length=50), holds(lambda text: checked_networks([text]))]
AllowedAddresses = Annotated[
    list[Network],
    Field(
        max_length=MOST_NETWORKS,
        description=(
            "Address blocks (CIDR): the address that is dialled must be in one of them, and public as ever. Empty, or "
            "null: any public one."
        ),
        examples=[["93.184.216.0/24", "2600:1f00::/24"]],
    ),
]
HeaderName = Annotated[str, Field(min_length=1, max_length=100), holds(checked_header_name)]
EventTypeHeader = Annotated[
    HeaderName, Field(description="A header that carries the event's type, by this name; null: none does.")
]
DeliveryIdHeader = Annotated[
    HeaderName, Field(description="A header that carries the delivery's id, by this name; null: none does.")
]
Style = Annotated[
    SignatureStyle,
    Field(
        strict=False,
        description=(
            "`standard` (null too): Standard Webhooks, `v1,…`; `timestamped`: `t=…,v1=…`, HMAC-SHA256 of `{t}.{body}` "
            "in hexadecimal; `hex`: `sha256=…` of the body alone, so it is as good years later: prefer the others."
        ),
    ),
]
SignatureHeader = Annotated[
    HeaderName,
    Field(
        description=(
            "The name of its header; null: the style's own, `webhook-signature`, `hookline-signature` or "
            "`x-hub-signature-256`. While a secret rotates, `hex` sends the newer signatures as this name and "
            "`-next`."
        )
    ),
]


class RateLimit(JsonBody):
    """How many deliveries may begin in a second, or in a minute; what is over it waits, and nothing is lost."""

    limit: Limit
    per: Per


class RateLimitPatch(JsonBody):
    """What of a rate limit to change; where there is none yet, both have to be there."""

    limit: Limit = Field(default=1, json_schema_extra=without_default)
    per: Per = Field(default="second", json_schema_extra=without_default)


class Signature(JsonBody):
    """How webhooks are signed. What a patch leaves out stays; else it gets its default."""

    style: Style | None = Field(default=None, json_schema_extra=without_default)
    header: SignatureHeader | None = Field(default=None, json_schema_extra=without_default)


class ShownSignature(BaseModel):
    """How webhooks are signed."""

    style: SignatureStyle
    header: str | None = Field(description="null: the style's own name.")


class SendingSettings(JsonBody):
    """How a new or replaced subscription is sent to; null is the same as leaving one out: its default."""

    rate_limit: RateLimit | None = Field(default=None, description="null: as many as come.")
    max_in_flight: MaxInFlight | None = None
    catch_up_rate_per_s: CatchUpRate | None = None
    ordering: OrderingField | None = None
    on_exhaustion: OnExhaustionField | None = None
    allowed_addresses: AllowedAddresses | None = None
    signature: Signature | None = Field(default=None, description="null: Standard Webhooks.")
    event_type_header: EventTypeHeader | None = None
    delivery_id_header: DeliveryIdHeader | None = None


class SendingPatch(JsonBody):
    """The same in a merge patch: what is left out stays, null takes one back to its default."""

    rate_limit: RateLimitPatch | None = Field(
        default=None, description="Merged; null: as many as come.", json_schema_extra=without_default
    )
    max_in_flight: MaxInFlight | None = Field(default=None, json_schema_extra=without_default)
    catch_up_rate_per_s: CatchUpRate | None = Field(default=None, json_schema_extra=without_default)
    ordering: OrderingField | None = Field(default=None, json_schema_extra=without_default)
    on_exhaustion: OnExhaustionField | None = Field(default=None, json_schema_extra=without_default)
    allowed_addresses: AllowedAddresses | None = Field(default=None, json_schema_extra=without_default)
    signature: Signature | None = Field(
        default=None, description="Merged; null: Standard Webhooks.", json_schema_extra=without_default
    )
    event_type_header: EventTypeHeader | None = Field(default=None, json_schema_extra=without_default)
    delivery_id_header: DeliveryIdHeader | None = Field(default=None, json_schema_extra=without_default)


class ShownSending(BaseModel):
    """The same as it is shown, defaults in their places."""

    rate_limit: RateLimit | None = Field(description="null: as many as come.")
    max_in_flight: int | None = Field(description="Requests open to it at once; null: the workers' own bound.")
    catch_up_rate_per_s: float | None = Field(description="While it catches up; null: as fast as it may.")
    ordering: Ordering
    on_exhaustion: OnExhaustion = Field(description="Counts with an ordering only.")
    allowed_addresses: list[str] = Field(description="Empty: any public address.")
    signature: ShownSignature
    event_type_header: str | None
    delivery_id_header: str | None
