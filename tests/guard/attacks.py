"""What is tried against the real Sender in the world of `world.py`; prints what was heard, as JSON.

`unshare -rnm python -m tests.guard.attacks` tries all with the guard as it is, and a part with the guard broken in each
of the ways of `breaking.py`.
"""

import asyncio
import json
import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from ipaddress import IPv6Address, ip_address
from typing import Any, Final

import uvloop
from yarl import URL

from processors.endpoints import Endpoint
from processors.sending import Sender
from schemas.addresses import networks_of
from tests.guard.breaking import WAYS
from tests.guard.world import OWN, Ears, NameServer, enter
from tests.processors.made import KEY, delivery
from tests.schemas.spellings import spellings_of
from tests.schemas.test_addresses import BAD
from tests.schemas.test_urls import TRICKS

PUBLIC: Final = ("93.184.216.34", "2606:4700::1111")
LISTED: Final = "8.8.8.8"  # in the list of the subscriptions that have one
REBINDINGS: Final = 1000
_AT_ONCE: Final = 50
_OF_ALL: Final = 20  # one address in so many, while the guard is broken

MIXTURES: Final[dict[str, Callable[[str], list[str]]]] = {
    "alone": lambda bad: [bad],
    "last": lambda bad: [*PUBLIC, bad],
    "first": lambda bad: [bad, *PUBLIC],
    "between": lambda bad: [PUBLIC[0], bad, PUBLIC[1]],
    "in company": lambda bad: [bad, "10.0.0.1", *PUBLIC, "::1"],
}
ANSWERS: Final[dict[str, list[Sequence[str]]]] = {}  # by name, by question; the last one stays
Report = dict[str, dict[str, Any]]
Try = tuple[str, Sequence[str]]  # a URL and the subscription's list


def answer(name: str, number: int) -> Sequence[str]:
    """Return what the name server says; a name that nobody made up leads to a public address."""
    answers = ANSWERS.get(name, [PUBLIC])
    return answers[min(number, len(answers)) - 1]


def hosts_of(address: str) -> Iterator[str]:
    """Yield the spellings of an address as a URL's host."""
    if ":" not in address:
        yield from spellings_of(address)
        return
    full = IPv6Address(address).exploded
    yield from (f"[{each}]" for each in (address, address.upper(), full, f"{address}%25lo", f"{address}%lo"))


def named(prefix: str, *answers: Sequence[str]) -> str:
    """Return a name of its own that is answered so, question by question."""
    name = f"{prefix.replace(' ', '-')}-{len(ANSWERS)}.example"
    ANSWERS[name] = list(answers)
    return name


def phases(bad: Sequence[str]) -> Iterator[tuple[str, list[Try]]]:
    """Yield what is tried, by the name under which it is reported."""
    yield "public", [(f"https://{host}/", ()) for host in (PUBLIC[0], f"[{PUBLIC[1]}]", named("public", PUBLIC))]
    yield "literals", [(f"https://{host}/", ()) for each in bad for host in hosts_of(each)]
    yield "literals on 8443", [(f"https://{next(hosts_of(each))}:8443/", ()) for each in bad]
    for mixture, of in MIXTURES.items():
        yield f"names, {mixture}", [(f"https://{named(mixture, of(each))}/", ()) for each in bad]
    yield "tricks", [(trick, ()) for trick in TRICKS]
    yield "ports", [(f"{url}:{port}/", ()) for url in ("https://93.184.216.34", f"https://{named('p', PUBLIC)}")
                    for port in (22, 80, 444)]  # fmt: skip
    plain = [f"http://{PUBLIC[0]}/", f"https://{PUBLIC[0]}:443@{OWN[0]}/"]
    yield "plain http", [(url, ()) for url in plain]
    listed = [f"{LISTED}/32"]
    yield "outside the list", [(f"https://{host}/", listed) for host in (*PUBLIC[:1], named("out", PUBLIC))]
    yield "inside the list", [(f"https://{host}/", listed) for host in (LISTED, named("in", [LISTED, *PUBLIC]))]
    yield "a list of refused", [(f"https://{each}/", ["0.0.0.0/0"]) for each in bad if ":" not in each]


async def tried(sender: Sender, url: str, listed: Sequence[str]) -> str:
    """Return what an attempt came to."""
    try:
        target = URL(url)
    except ValueError:
        return "no url"
    endpoint = Endpoint(target, (KEY,), {}, timedelta(seconds=60), 1, allowed=networks_of(listed))
    outcome = await sender.send(delivery(), endpoint)
    return outcome.error_kind.value if outcome.error_kind else "success"


async def try_all(tries: Sequence[Try]) -> Counter[str]:
    """Return how often attempts came to what; each phase has connections of its own."""
    places = asyncio.Semaphore(_AT_ONCE)

    async def one(url: str, listed: Sequence[str]) -> str:
        async with places:
            return await tried(sender, url, listed)

    async with Sender(most_at_once=_AT_ONCE, allow_loopback=False, user_agent="x") as sender:
        return Counter(await asyncio.gather(*(one(*each) for each in tries)))


async def rebind(bad: Sequence[str], times: int) -> Counter[str]:
    """Return what attempts came to whose name leads elsewhere with every question: nothing is remembered between."""
    came: Counter[str] = Counter()
    async with Sender(most_at_once=1, allow_loopback=False, user_agent="x") as sender:
        for number in range(times):
            turned = [bad[number % len(bad)]]
            good_first = [PUBLIC[:1], turned, PUBLIC[:1], [*turned, PUBLIC[0]]]
            name = named("rebinding", *(good_first if number % 2 else [turned, PUBLIC[:1], turned]))
            for _ in range(2):
                sender._connections.forget_names()
                came[await tried(sender, f"https://{name}/", ())] += 1
    return came


async def attack(bad: Sequence[str], *, rebindings: int) -> Report:
    """Return by phase: how many tries, what they came to, which addresses were called and dialled."""
    ears, server = Ears(), NameServer(answer)
    report: Report = {}

    def note(phase: str, came: Counter[str]) -> None:
        called, dialled = ears.heard()
        report[phase] = {
            "tries": came.total(),
            "came": came,
            "called": sorted({*called}),
            "dialled": sorted({*dialled}),
        }

    for phase, tries in phases(bad):
        note(phase, await try_all(tries))
    note("rebinding", await rebind(bad, rebindings))
    lookups = [times for (name, _), times in server.asked.items() if name.startswith("rebinding")]
    report["rebinding"]["most lookups of a name"] = max(lookups, default=0)  # a proxy asks none
    return report


def report_of(way: str) -> Report:
    """Return what was heard with the guard broken in one way, in a process of its own; "" leaves it whole."""
    run = asyncio.Runner(loop_factory=uvloop.new_event_loop).run  # as a worker runs
    bad = [*dict.fromkeys(str(ip_address(each)) for each in BAD)]
    if not way:
        return run(attack([*bad, *OWN], rebindings=REBINDINGS))
    WAYS[way]()
    return run(attack([*bad[::_OF_ALL], *OWN], rebindings=REBINDINGS // _OF_ALL))


if __name__ == "__main__":
    enter()
    with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
        print(json.dumps(dict(zip(["", *WAYS], pool.map(report_of, ["", *WAYS], chunksize=1), strict=True))))
