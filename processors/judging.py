"""Whether an address may be dialled for a subscription, for whatever client dials.

What the guard asks of a client, and a test holds of ours (`tests/guard`):

1. It hands over every answer of DNS before it dials one, with no cache of its own that outlives the judgement.
2. It hands over address and port of each connection right before `connect`, literals in the URL included, in every
   spelling that it would dial, and dials exactly those: no second look-up, no race with an address not shown.
3. It tells which request asks, so that the subscription's own list is judged with it.
4. It tells the peer of a kept connection before a request is written on it, or keeps connections by list.
5. It uses no proxy (environment, .netrc, system settings), follows no redirect, retries nowhere else, and opens
   nothing on its own: no Alt-Svc, no HTTPS records, no OCSP or AIA fetching, no preconnection.
6. Host, SNI and the name that the certificate is held to stay the URL's.
7. A refusal comes back as a refusal, told apart from DNS and connection failures.
"""

import errno
from collections.abc import Sequence
from dataclasses import dataclass, field

from processors.own_addresses import OwnAddresses
from schemas.addresses import Network, is_within, refusal_of
from schemas.errors import HooklineError
from schemas.urls import PORTS

OWN = "this machine's own"
NOT_ALLOWED = "not in the subscription's allowed_addresses"
UNKNOWN = "nobody said whose subscription it is dialled for"


class AddressBlocked(HooklineError, OSError):
    """An address that may not be called was about to be.

    An OSError, because aiohttp wraps those (`ClientConnectorDNSError` for a name, `ClientConnectorError` for a
    literal): ask `blocked_address` first, then sort errors by their class. `address` is what would have been
    dialled; `reason` is `schemas.addresses.refusal_of`'s, or one of this module's.
    """

    def __init__(self, address: str, reason: str) -> None:
        # Without the address: aiohttp raises the error itself only when all addresses of a name fail with one text.
        super().__init__(errno.EACCES, f"the address is refused: {reason}")
        self.address = address
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Judge:
    """Judges by our table, this machine's own addresses, the ports and the subscription's list: all must agree.

    `allow_loopback` is development's: it opens 127.0.0.0/8 and ::1 and, as for the URL, every port.
    """

    allow_loopback: bool
    ports: frozenset[int] = PORTS
    own: OwnAddresses = field(default_factory=OwnAddresses)

    def check(self, address: str) -> None:
        """Raise AddressBlocked for what no subscription may call: an answer of DNS, before anything is dialled."""
        if (reason := refusal_of(address, allow_loopback=self.allow_loopback)) is not None:
            raise AddressBlocked(address, reason)
        if address in self.own:
            raise AddressBlocked(address, OWN)

    def check_dialled(self, address: str, port: int, allowed: Sequence[Network] | None) -> None:
        """Raise AddressBlocked for what this subscription may not call: what is about to be connected.

        `allowed` are the subscription's blocks, () when it names none; None, a caller who forgot, is refused.
        """
        self.check(address)
        if port not in self.ports and not self.allow_loopback:
            raise AddressBlocked(address, f"port {port}, not {' or '.join(map(str, sorted(self.ports)))}")
        if allowed is None:
            raise AddressBlocked(address, UNKNOWN)
        if allowed and not is_within(address, allowed):
            raise AddressBlocked(address, NOT_ALLOWED)


def blocked_address(error: BaseException) -> AddressBlocked | None:
    """Return the AddressBlocked behind `error`: itself, its cause or context, or in an exception group."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        current = waiting.pop()
        if current is None or id(current) in seen:
            continue
        if isinstance(current, AddressBlocked):
            return current
        seen.add(id(current))
        waiting.append(current.__cause__)
        waiting.append(None if current.__suppress_context__ else current.__context__)
        waiting.extend(current.exceptions if isinstance(current, BaseExceptionGroup) else ())
    return None
