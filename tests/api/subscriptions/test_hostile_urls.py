"""URLs that aim inwards, at the API: each is refused with 422, never a 500, and nothing is dialled.

The worker judges all of them again when it dials (`tests/guard`).
"""

import json
import socket
import sys
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

import httpx
import pytest

from tests.api.conftest import client_of, settings_of
from tests.api.problem import pointers_of
from tests.api.subscriptions.making import MINIMAL, PATH
from tests.guard.attacks import MIXTURES, PUBLIC, hosts_of
from tests.schemas.test_addresses import BAD
from tests.schemas.test_urls import ACCEPTED, TRICKS

pytestmark = pytest.mark.postgres

DIALLED: list[object] = []


def _hear(event: str, arguments: tuple[object, ...]) -> None:
    if event == "socket.connect":
        DIALLED.append(arguments[1])


sys.addaudithook(_hear)  # once a process: it cannot be taken away


@pytest.fixture(autouse=True)
def dialled() -> list[object]:
    """Return what this test dialled."""
    DIALLED.clear()
    return DIALLED


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, Sequence[str]]:
    """Return the addresses of names, for a test to fill; other names have none."""
    known: dict[str, Sequence[str]] = {}
    real = socket.getaddrinfo

    def answer(host: str, port: int, *arguments: Any, **named: Any) -> Any:
        try:
            ip_address(host)
        except ValueError:
            if host not in known:
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known") from None
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in known[host]]
        return real(host, port, *arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return known


async def _post(api: httpx.AsyncClient, url: str) -> httpx.Response:
    body = json.dumps({**MINIMAL, "url": url})  # in ASCII: a lone surrogate travels as an escape
    return await api.post(PATH, content=body, headers={"Content-Type": "application/json"})


async def _all_refused(api: httpx.AsyncClient, urls: Sequence[str]) -> None:
    for url in urls:
        response = await _post(api, url)
        assert response.status_code == 422, (url, response.text)
        assert pointers_of(response) == ["/url"], url


async def test_every_trick_is_answered_with_422(api: httpx.AsyncClient, names: dict[str, Sequence[str]]) -> None:
    assert len(TRICKS) >= 300
    await _all_refused(api, TRICKS)
    assert names == {}


async def test_every_refused_address_is_refused(api: httpx.AsyncClient) -> None:
    """In a fifth of the ways to write it, another fifth for the next; `tests/schemas/test_urls.py` has all."""
    spelt = [[*hosts_of(address)][number % 5 :: 5] for number, address in enumerate(BAD)]
    await _all_refused(api, [f"https://{host}/" for hosts in spelt for host in hosts])


async def test_a_name_that_leads_to_a_refused_address_is_refused_whatever_else_it_leads_to(
    api: httpx.AsyncClient, names: dict[str, Sequence[str]], dialled: list[object]
) -> None:
    urls = []
    for number, address in enumerate(BAD):
        for mixture, of in enumerate(MIXTURES.values()):
            names[f"n{number}-{mixture}.example"] = of(address)
            urls.append(f"https://n{number}-{mixture}.example/")
    assert len(urls) >= 5 * 140
    await _all_refused(api, urls)
    assert not [each for each in dialled if isinstance(each, tuple) and each[1] in (443, 8443)]


async def test_what_may_be_called_is_made(api: httpx.AsyncClient, names: dict[str, Sequence[str]]) -> None:
    names["example.com"] = PUBLIC
    for url, normalised in ACCEPTED:
        response = await _post(api, url)
        assert (response.status_code, response.json().get("url")) == (201, normalised)


async def test_ports_are_a_setting(shared_url: str) -> None:
    async with client_of(settings_of(shared_url, ports="9443,443")) as api:
        assert (await _post(api, "https://93.184.216.34:9443/")).status_code == 201
        refused = await _post(api, "https://93.184.216.34:8443/")
    assert refused.status_code == 422
    assert "use port 443 or 9443, not 8443" in refused.text
