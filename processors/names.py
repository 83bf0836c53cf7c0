"""Host names to addresses: asked of the system in threads of our own, remembered for a few seconds."""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult

DNS_TTL_S: Final = 10  # a receiver that moves is followed within this
# Not the loop's: uvloop has 4 threads for all names, so 4 that nobody answers for would hold up every other one.
_THREADS: Final = 64
_MOST_REMEMBERED: Final = 20_000


class SystemResolver(AbstractResolver):
    """Asks getaddrinfo, for as many names at once as there are threads."""

    def __init__(self) -> None:
        """Start no thread yet."""
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="dns")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the stream addresses of `host`; raises OSError, or ValueError for what cannot be a name."""
        found = await asyncio.get_running_loop().run_in_executor(self._threads, _asked, host, port, family)
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=protocol, flags=0)
            for family, protocol, address in found
        ]

    async def close(self) -> None:
        """Wait for no thread: one that waits for a name server ends when that gives up."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class Names:
    """Remembers a name's addresses for DNS_TTL_S, and asks once for all who ask at a time. A failure is not kept."""

    def __init__(self, resolver: AbstractResolver) -> None:
        self._resolver = resolver
        self._loop = asyncio.get_running_loop()
        self._known: dict[tuple[str, int], tuple[float, list[ResolveResult]]] = {}
        self._asked: dict[tuple[str, int], asyncio.Task[list[ResolveResult]]] = {}

    async def addresses_of(self, host: str, port: int) -> list[ResolveResult]:
        """Return what the resolver answered within the last DNS_TTL_S; raises what it raises."""
        if is_literal(host):
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            return [ResolveResult(hostname=host, host=host, port=port, family=family, proto=0, flags=0)]
        key = host, port
        known = self._known.get(key)
        if known is not None and self._loop.time() < known[0]:
            return known[1]
        asked = self._asked.get(key)
        if asked is None:
            asked = self._asked[key] = asyncio.create_task(self._resolver.resolve(host, port))
            asked.add_done_callback(lambda task: self._keep(key, task))
        return await asyncio.shield(asked)  # whoever gives up leaves it to the others

    def forget(self) -> None:
        """Ask for every name again."""
        self._known.clear()

    async def close(self) -> None:
        """Stop asking."""
        for task in self._asked.values():
            task.cancel()
        await asyncio.gather(*self._asked.values(), return_exceptions=True)
        await self._resolver.close()

    def _keep(self, key: tuple[str, int], task: asyncio.Task[list[ResolveResult]]) -> None:
        del self._asked[key]
        if task.cancelled() or task.exception() is not None:
            self._known.pop(key, None)
            return
        if len(self._known) >= _MOST_REMEMBERED:
            self._known.clear()
        self._known[key] = self._loop.time() + DNS_TTL_S, task.result()


def is_literal(host: str) -> bool:
    """Return whether `host` is an address in its plain spelling; what else getaddrinfo reads as one, it is asked."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _asked(host: str, port: int, family: int) -> list[tuple[int, int, str]]:
    found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return [(each_family, protocol, _address_in(target)) for each_family, _, protocol, _, target in found]


def _address_in(target: tuple[object, ...]) -> str:
    """Return the address of a getaddrinfo answer; with its zone id, which the guard refuses, should it have one."""
    return (
        f"{target[0]}%{target[3]}" if len(target) == 4 and target[3] and "%" not in str(target[0]) else str(target[0])
    )
