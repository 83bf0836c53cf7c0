"""A URL is judged by its text and by the addresses that its name has now."""

import time
from collections.abc import Sequence

import pytest

from api.subscriptions.endpoints import RESOLVING_S, Resolve, checked_endpoint, resolve
from schemas.errors import InvalidInput
from tests.machine import SLOW_MACHINE_S

NAMED = "https://hooks.example.com/in"
PUBLIC, PUBLIC_V6 = "93.184.216.34", "2606:2800:220:1::1"


def answering(*addresses: str) -> Resolve:
    async def resolve(name: str, port: int) -> Sequence[str]:
        assert (name, port) == ("hooks.example.com", 443)
        return addresses

    return resolve


@pytest.mark.parametrize("addresses", [[PUBLIC], [PUBLIC, PUBLIC_V6], []])
async def test_a_name_with_public_addresses_or_none_is_accepted(addresses: list[str]) -> None:
    assert await checked_endpoint(NAMED, development=False, resolve=answering(*addresses)) == NAMED


@pytest.mark.parametrize(
    "refused", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "64:ff9b::a00:1", "::ffff:10.0.0.1", "fe80::1%eth0"]
)
@pytest.mark.parametrize("others", [[], [PUBLIC]])
async def test_one_refused_address_refuses_the_name(refused: str, others: list[str]) -> None:
    with pytest.raises(InvalidInput) as error:
        await checked_endpoint(NAMED, development=False, resolve=answering(*others, refused))
    assert error.value.pointer == "/url"
    assert refused not in error.value.detail  # it may be an internal one


@pytest.mark.parametrize("url", ["http://hooks.example.com/", "https://127.0.0.1/", "https://localhost/", "nonsense"])
async def test_what_its_text_forbids_is_not_looked_up(url: str) -> None:
    with pytest.raises(InvalidInput) as error:
        await checked_endpoint(url, development=False, resolve=answering())
    assert error.value.pointer == "/url"


async def test_development_takes_plain_http_on_loopback_and_no_more() -> None:
    url = "http://127.0.0.1:9000/in"
    assert await checked_endpoint(url, development=True) == url
    with pytest.raises(InvalidInput):
        await checked_endpoint("http://10.0.0.1/in", development=True)


async def test_localhost_has_loopback_addresses() -> None:
    assert {"127.0.0.1", "::1"} >= set(await resolve("localhost", 80)) != set()


@pytest.mark.parametrize("name", ["nowhere.invalid", "a" * 64 + ".invalid", "." * 300])
async def test_a_name_without_an_address_has_none(name: str) -> None:
    started = time.monotonic()
    assert await resolve(name, 443) == ()
    assert time.monotonic() - started < RESOLVING_S + SLOW_MACHINE_S
