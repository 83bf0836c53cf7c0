"""Counting requests against their limits: by class of route for an organization, and a credential's own.

Answers say how it stands; what is over is 429 with Retry-After (RFC 6585, 4).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network
from typing import Final, NoReturn

from prometheus_client import Counter

from api.credentials import Caller, CredentialKind
from api.errors import TooManyRequests
from api.limits.counting import Counting
from api.limits.defaults import Limit, limit_of
from api.limits.memory import BoundedMemory
from api.limits.standing import Standing, Taken, headers_of
from api.permissions import RateClass
from schemas.addresses import as_dialled

_MINUTE: Final = 60
_IPV6_PREFIX: Final = 64  # what one customer of a provider gets at least (RFC 6177, 2), with 2**64 addresses in it


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A limit, its name in answers, and the key that it is counted under."""

    name: str
    limit: Limit
    key: str


class RateLimits:
    """Knows what was used of every limit.

    In memory what anybody can make up (addresses, ids of clients) is counted apart from the organizations', so that a
    flood of the one cannot push out what is known of the other.
    """

    def __init__(self, redis_url: str | None = None, *, away: Counter | None = None) -> None:
        """Raises UnfitSettings for a URL that is none of Redis's."""
        self._counting = Counting(redis_url, away=away)
        self._known, self._open = BoundedMemory(), BoundedMemory()

    async def take(self, caller: Caller, counts_as: RateClass) -> dict[str, str]:
        """Count a request of a known caller; return headers that say how its limits stand.

        The credential's own limit and the organization's hold both. The administrator has none. Raises
        TooManyRequests.
        """
        if caller.kind is CredentialKind.ADMINISTRATOR:
            return {}
        wanted = [_organizations(caller, counts_as)]
        if caller.own_limit is not None:  # first: what it refuses must not use up the organization's
            own = Limit(caller.own_limit, _MINUTE)
            wanted.insert(0, _Wanted("credential", own, f"credential/{own.most}/{caller.id}"))
        return await self._take_all(wanted, 1, self._known)

    async def take_more(self, caller: Caller, counts_as: RateClass, more: int) -> dict[str, str]:
        """Count what a request holds beyond the one that it was counted as: a batch, its events.

        They count against the organization's limit alone: a credential's own counts requests. All or nothing is
        taken. Raises TooManyRequests.
        """
        if caller.kind is CredentialKind.ADMINISTRATOR or more < 1:
            return {}
        return await self._take_all([_organizations(caller, counts_as)], more, self._known)

    async def take_open(self, counts_as: RateClass, *parts: str) -> dict[str, str]:
        """Count a request of nobody known: `parts` say whose it is, an address, or a client's id and an address.

        An IPv6 address stands for its /64. Raises TooManyRequests.
        """
        return await self.take_tries(counts_as.value, limit_of(counts_as, {}), *parts)

    async def check_open(self, counts_as: RateClass, *parts: str) -> None:
        """Raise TooManyRequests when nothing is left of what `take_open` counts; this counts nothing itself."""
        wanted = _Wanted(counts_as.value, limit_of(counts_as, {}), _key_of(counts_as.value, parts))
        _, taken = await self._counting.take(wanted.key, wanted.limit, 0, memory=self._open)
        if taken.left_of(wanted.limit) < 1:
            _refuse(wanted, taken, [])

    async def take_tries(self, name: str, limit: Limit, *parts: str) -> dict[str, str]:
        """Count the same against a limit that is no class of requests: tries to sign in, for one."""
        return await self._take_all([_Wanted(name, limit, _key_of(name, parts))], 1, self._open)

    async def forget_tries(self, name: str, limit: Limit, *parts: str) -> None:
        """Forget what was counted against it."""
        await self._counting.forget(_key_of(name, parts), limit, memory=self._open)

    async def close(self) -> None:
        """Close the connections to Redis."""
        await self._counting.close()

    async def _take_all(self, wanted: list[_Wanted], cost: int, memory: BoundedMemory) -> dict[str, str]:
        standings: list[Standing] = []
        for each in wanted:
            is_let_in, taken = await self._counting.take(each.key, each.limit, cost, memory=memory)
            if not is_let_in:
                _refuse(each, taken, standings, cost=cost)
            left, reset_s = taken.left_of(each.limit), taken.seconds_to_next_window(each.limit)
            standings.append(Standing(each.name, each.limit, left, reset_s))
        return headers_of(standings)


def _refuse(wanted: _Wanted, taken: Taken, others: list[Standing], *, cost: int = 1) -> NoReturn:
    wait_s = taken.seconds_until(cost, wanted.limit)
    refused = Standing(wanted.name, wanted.limit, taken.left_of(wanted.limit), wait_s)
    raise TooManyRequests(
        f"over the limit {wanted.name}: {wanted.limit.most} in {wanted.limit.window_s} s",
        headers={**headers_of([*others, refused]), "Retry-After": str(wait_s)},
    )


def _organizations(caller: Caller, counts_as: RateClass) -> _Wanted:
    limit = limit_of(counts_as, caller.limits)
    return _Wanted(counts_as.value, limit, f"{counts_as}/{limit.most}/{caller.organization_id}")


def _key_of(name: str, parts: Sequence[str]) -> str:
    digest = hashlib.sha256("\0".join(_whose(part) for part in parts).encode("utf-8", "surrogatepass"))
    return f"{name}/{digest.hexdigest()[:32]}"


def _whose(part: str) -> str:
    address = as_dialled(part)
    return str(IPv6Network((address, _IPV6_PREFIX), strict=False)) if isinstance(address, IPv6Address) else part
