"""Whether a subscription may name a URL: by its text, and by the addresses that its name has now.

The worker judges again, each address, when it dials: names change. Refusing here tells the integrator at once.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Final
from urllib.parse import urlsplit

from schemas.addresses import refusal_of
from schemas.errors import InvalidInput
from schemas.urls import DEFAULT_PORTS, PORTS, checked_url

RESOLVING_S: Final = 2.0

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


async def resolve(name: str, port: int) -> Sequence[str]:
    """Return the addresses of a name, none when it has none or nobody answers in time."""
    loop = asyncio.get_running_loop()
    try:
        found = await asyncio.wait_for(loop.getaddrinfo(name, port, type=socket.SOCK_STREAM), RESOLVING_S)
    except (OSError, UnicodeError):  # socket.gaierror and TimeoutError are OSErrors
        return ()
    return [str(address[0]) for *_, address in found]


async def checked_endpoint(
    url: str,
    *,
    development: bool,
    ports: frozenset[int] = PORTS,
    pointer: str = "/url",
    resolve: Resolve = resolve,
) -> str:
    """Return the URL as it is kept, normalised.

    `development` allows plain http, loopback and every port. A name that has no address now is accepted: its attempts
    will say `dns`. Raises InvalidInput at `pointer`; which address refuses a name is not said, it may be an internal
    one.
    """
    try:
        checked = checked_url(url, allow_http=development, allow_loopback=development, ports=ports)
    except InvalidInput as error:
        raise InvalidInput(error.detail, pointer=pointer) from error
    parts = urlsplit(checked)
    for address in await resolve(parts.hostname or "", parts.port or DEFAULT_PORTS[parts.scheme]):
        refusal = refusal_of(address, allow_loopback=development)
        if refusal is not None:
            raise InvalidInput(f"use a public host: this one leads to a refused address, {refusal}", pointer=pointer)
    return checked
