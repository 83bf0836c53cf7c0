"""The JSON of API tokens: what comes in and what goes out."""

from datetime import date, datetime
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from api.fields import holds, without_default
from api.permissions import permissions_of, scope_names
from api.replays.bodies import Moment
from api.requests import JsonBody
from api.tokens.tables import TokenRow, TokenState, TokenUseRow, state_of
from schemas.addresses import MOST_NETWORKS, checked_networks
from schemas.errors import InvalidInput

HIGHEST_RATE: Final = 100_000
_GIVEN: Final[dict[str, Any]] = {
    "name": "Billing",
    "scopes": ["events:publish", "subscriptions:read"],
    "expires_at": "2027-02-21T00:00:00Z",
    "allowed_addresses": ["203.0.113.0/24", "2001:db8::/48"],
    "rate_limit": 600,
}
_SHOWN: Final[dict[str, Any]] = {
    **_GIVEN,
    "id": "tok_019a9f2a11127a3b8c4d5e6f708192a3",
    "prefix": "hkl_q83vEjRW",
    "state": "active",
    "created_by": "usr_019a9f2a11127a3b8c4d5e6f708192a4",
    "created_at": "2026-11-21T09:30:00Z",
    "updated_at": "2026-11-21T09:30:00Z",
    "last_used_at": None,
    "revoked_at": None,
    "version": 1,
}


def _check_name(name: str) -> None:
    if not name.strip() or not name.isprintable():
        raise InvalidInput("must be a name that can be read: printable characters, not only spaces")


def _check_scopes(scopes: list[str]) -> None:
    if len(set(scopes)) < len(scopes):
        raise InvalidInput("name each scope once")
    permissions_of(scopes)


Name = Annotated[str, Field(min_length=1, max_length=100, description="For people."), holds(_check_name)]
Scopes = Annotated[
    list[Annotated[str, Field(max_length=60)]],
    Field(
        min_length=1,
        max_length=len(scope_names()),
        description="What it may do: permissions, `resource:*`, `read` or `write`; no more than you may do yourself.",
    ),
    holds(_check_scopes),
]
Addresses = Annotated[
    list[str],
    Field(
        max_length=MOST_NETWORKS, description="CIDR blocks, IPv4 and IPv6, from which it works; none: from anywhere."
    ),
    holds(checked_networks),
]
RateLimit = Annotated[
    int,
    Field(ge=1, le=HIGHEST_RATE, description="Requests a minute, beside the organization's limits; null: those only."),
]


class NewToken(JsonBody):
    """What makes an API token. null is the same as leaving an optional field out.

    A token that makes a token gives it its own bounds where the body says none, and none that are wider.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [_GIVEN]})

    name: Name
    scopes: Scopes
    expires_at: Moment | None = Field(default=None, description="In the future; null: never.")
    allowed_addresses: Addresses | None = None
    rate_limit: RateLimit | None = None


class TokenPatch(JsonBody):
    """A merge patch (RFC 7396): fields that are left out stay. Scopes do not change: make another token."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Billing, old"}, {"rate_limit": None}]})

    name: Name = Field(default="", json_schema_extra=without_default)
    expires_at: Moment | None = Field(
        default=None, description="In the future, and only earlier than before.", json_schema_extra=without_default
    )
    allowed_addresses: Addresses | None = Field(default=None, json_schema_extra=without_default)
    rate_limit: RateLimit | None = Field(default=None, json_schema_extra=without_default)


class TokenBody(BaseModel):
    """An API token as it is shown: never the token itself."""

    model_config = ConfigDict(json_schema_extra={"examples": [_SHOWN]})

    id: str
    name: str
    prefix: str = Field(description="The token's first 12 characters, to tell which one it is.")
    scopes: list[str]
    state: TokenState
    expires_at: datetime | None
    allowed_addresses: list[str]
    rate_limit: int | None
    created_by: str = Field(description="The id of the user or token that made it, or `administrator`.")
    created_at: datetime
    updated_at: datetime
    last_used_at: datetime | None = Field(description="Written at most once a minute.")
    revoked_at: datetime | None
    version: int


class TokenOnce(TokenBody):
    """An API token that was just made."""

    model_config = ConfigDict(json_schema_extra={"examples": [{**_SHOWN, "token": "hkl_…"}]})

    token: str = Field(description="The token itself: it is in this answer and in no other.")


class DayOfUse(BaseModel):
    """How much a token was used on a day (UTC)."""

    day: date
    requests: int = Field(description="Those that it was valid for, whatever came of them.")


class TokenUsage(BaseModel):
    """How much a token was used in the last 90 days, by day; counts are up to a minute late."""

    data: list[DayOfUse] = Field(description="Oldest first; days without a request are left out.")
    total: int
    last_used_at: datetime | None


def shown(row: TokenRow, *, now: datetime) -> TokenBody:
    """Return the body of a row."""
    return TokenBody(
        id=row.id,
        name=row.name,
        prefix=row.prefix,
        scopes=row.scopes,
        state=state_of(row, now=now),
        expires_at=row.expires_at,
        allowed_addresses=row.allowed_addresses,
        rate_limit=row.rate_limit,
        created_by=row.created_by,
        created_at=row.created_at,
        updated_at=row.updated_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
        version=row.version,
    )


def usage_of(row: TokenRow, uses: list[TokenUseRow]) -> TokenUsage:
    """Return the body of a token's use."""
    days = [DayOfUse(day=each.day, requests=each.requests) for each in uses]
    return TokenUsage(data=days, total=sum(each.requests for each in days), last_used_at=row.last_used_at)
