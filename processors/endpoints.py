"""Subscriptions ready to be called: secrets opened, headers read, the URL parsed, once per version."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, cast

import orjson
from yarl import URL

from processors.errors import Unsendable
from schemas.addresses import Network, networks_of
from schemas.errors import InvalidInput
from schemas.ids import SubscriptionId
from schemas.records import Subscription
from schemas.sealing import HEADERS_PURPOSE, SECRET_PURPOSE, Sealer, SealingError

_MOST_OPENED: Final = 20_000


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where and how to send. It holds secrets: never log one.

    `expire_at` says until when each of `keys` signs, None for always; it is empty when all do. `allowed` are the
    blocks in which the address dialled must lie as well, none meaning any.
    """

    url: URL
    keys: tuple[bytes, ...]
    headers: dict[str, str]
    timeout: timedelta
    version: int
    expire_at: tuple[datetime | None, ...] = ()
    allowed: tuple[Network, ...] = ()

    def keys_at(self, moment: datetime) -> tuple[bytes, ...]:
        """Return the keys that sign an attempt of this moment, at least one: unsigned it would be anybody's.

        When the time of all has passed, which the API does not allow, the newest one signs.
        """
        if not self.expire_at:
            return self.keys
        until = zip(self.keys, self.expire_at, strict=True)
        return tuple(key for key, ends in until if ends is None or moment < ends) or self.keys[:1]

    def __repr__(self) -> str:
        return f"Endpoint({self.url.host!r}, version={self.version})"


class Endpoints:
    """Opens subscriptions and remembers them by id and version: opening a secret costs more than signing with it."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer
        self._opened: dict[SubscriptionId, Endpoint] = {}

    def endpoint_of(self, subscription: Subscription) -> Endpoint:
        """Return where to send a subscription's deliveries; raises Unsendable when its secret does not open here."""
        known = self._opened.get(subscription.id)
        if known is not None and known.version == subscription.version:
            return known
        try:
            opened = self._open(subscription)
        except (SealingError, InvalidInput, ValueError) as error:
            raise Unsendable(f"the subscription's settings cannot be used: {error}") from error
        if len(self._opened) >= _MOST_OPENED:
            self._opened.clear()
        self._opened[subscription.id] = opened
        return opened

    def _open(self, subscription: Subscription) -> Endpoint:
        if not subscription.secrets:
            raise ValueError("it has no secret to sign with")
        keys = tuple(self._open_one(subscription, sealed, SECRET_PURPOSE) for sealed in subscription.secrets)
        headers = b"{}"
        if subscription.headers is not None:
            headers = self._open_one(subscription, subscription.headers, HEADERS_PURPOSE)
        return Endpoint(
            url=URL(subscription.url),
            keys=keys,
            headers=_headers_in(headers),
            timeout=timedelta(milliseconds=subscription.timeout_ms),
            version=subscription.version,
            expire_at=_expire_at(subscription),
            allowed=networks_of(subscription.allowed_addresses),
        )

    def _open_one(self, subscription: Subscription, sealed: bytes, purpose: str) -> bytes:
        return self._sealer.open(
            sealed, organization=subscription.organization_id, row=subscription.id, purpose=purpose
        )


def _expire_at(subscription: Subscription) -> tuple[datetime | None, ...]:
    expire_at = subscription.secrets_expire_at[: len(subscription.secrets)]
    if not any(expire_at):
        return ()
    return (*expire_at, *[None] * (len(subscription.secrets) - len(expire_at)))


def _headers_in(opened: bytes) -> dict[str, str]:
    found = cast(object, orjson.loads(opened))
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise ValueError("its headers are no JSON object of texts")
    return found
