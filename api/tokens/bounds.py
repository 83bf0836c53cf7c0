"""What binds a token: when it ends, from where it works, how often.

A token that makes or changes tokens gives no more than it has here too: else one that ends tomorrow and works from one
address could make itself one that does neither.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn

from api.credentials import Caller, CredentialKind
from api.errors import Flaw, InvalidRequest
from schemas.addresses import Network, networks_of


@dataclass(frozen=True, slots=True)
class Bounds:
    """A token's bounds; None and an empty tuple bind nothing. `allowed_addresses` are normalised CIDR blocks."""

    expires_at: datetime | None
    allowed_addresses: tuple[str, ...]
    rate_limit: int | None


def within_callers(asked: Bounds, caller: Caller) -> Bounds:
    """Return `asked`, and the caller's own bound where nothing was asked for; only API tokens are bound.

    Raises InvalidRequest for a bound that is wider than the caller's.
    """
    if caller.kind is not CredentialKind.API_TOKEN:
        return asked
    own = Bounds(caller.expires_at, tuple(str(each) for each in caller.allowed_addresses), caller.own_limit)
    bounds = Bounds(
        asked.expires_at or own.expires_at,
        asked.allowed_addresses or own.allowed_addresses,
        asked.rate_limit or own.rate_limit,
    )
    if own.expires_at is not None and bounds.expires_at is not None and bounds.expires_at > own.expires_at:
        _refuse(f"the token you call with ends at {own.expires_at.isoformat()}: no later", "/expires_at")
    if own.rate_limit is not None and bounds.rate_limit is not None and bounds.rate_limit > own.rate_limit:
        _refuse(f"the token you call with has {own.rate_limit} requests a minute: no more", "/rate_limit")
    if own.allowed_addresses and not _all_within(bounds.allowed_addresses, caller.allowed_addresses):
        _refuse("the token you call with works from fewer addresses: no others", "/allowed_addresses")
    return bounds


def checked_expiry(expires_at: datetime | None, *, now: datetime) -> datetime | None:
    """Return `expires_at`; raises InvalidRequest unless it is in the future."""
    if expires_at is not None and expires_at <= now:
        _refuse("must be in the future", "/expires_at")
    return expires_at


def earlier_expiry(expires_at: datetime | None, before: datetime | None, *, now: datetime) -> datetime | None:
    """Return the expiry that replaces `before`; raises InvalidRequest unless it is in the future and no later."""
    if expires_at != before and before is not None and (expires_at is None or expires_at > before):
        _refuse(f"can only become earlier than {before.isoformat()}: make another token instead", "/expires_at")
    return expires_at if expires_at == before else checked_expiry(expires_at, now=now)


def _all_within(texts: Sequence[str], networks: Sequence[Network]) -> bool:
    return all(
        any(inner.version == outer.version and inner.subnet_of(outer) for outer in networks)  # type: ignore[arg-type] # of one version
        for inner in networks_of(texts)
    )


def _refuse(detail: str, pointer: str) -> NoReturn:
    raise InvalidRequest(f"{pointer}: {detail}", flaws=[Flaw(detail, pointer=pointer)])
