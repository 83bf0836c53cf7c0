"""The judge: table, own addresses, ports and the subscription's list must all agree."""

from ipaddress import ip_address

import pytest

from processors.judging import NOT_ALLOWED, OWN, UNKNOWN, AddressBlocked, Judge
from processors.own_addresses import OwnAddresses
from schemas.addresses import networks_of

OWN_ADDRESSES = OwnAddresses(lambda: frozenset(map(ip_address, ("8.8.4.4", "2606:4700::5", "10.0.0.7"))))


def reason(address: str, port: int = 443, listed: tuple[str, ...] | None = (), *, allow_loopback: bool = False) -> str:
    """Return why an address may not be dialled, "" when it may."""
    judge = Judge(allow_loopback, frozenset({443, 9443}), OWN_ADDRESSES)
    try:
        judge.check_dialled(address, port, None if listed is None else networks_of(listed))
    except AddressBlocked as blocked:
        return blocked.reason
    return ""


def test_what_all_agree_on_may_be_dialled() -> None:
    assert reason("93.184.216.34") == ""
    assert reason("93.184.216.34", 9443, ("93.184.216.34/32",)) == ""
    assert reason("::ffff:93.184.216.34", 443, ("93.184.216.0/24",)) == ""


@pytest.mark.parametrize("address", ["8.8.4.4", "::ffff:8.8.4.4", "2606:4700::5"])
@pytest.mark.parametrize("allow_loopback", [False, True])
def test_an_own_address_may_not_be_called_even_in_development(address: str, allow_loopback: bool) -> None:
    assert reason(address, allow_loopback=allow_loopback) == OWN
    with pytest.raises(AddressBlocked, match="this machine's own"):
        Judge(allow_loopback, own=OWN_ADDRESSES).check(address)


@pytest.mark.parametrize("address", ["10.0.0.1", "10.0.0.7", "127.0.0.1", "8.8.4.4", "::1", "169.254.169.254"])
def test_a_list_narrows_the_table_and_never_widens_it(address: str) -> None:
    everything = ("0.0.0.0/0", "::/0", *([] if ":" in address else [f"{address}/32"]))
    assert reason(address, 443, everything) == reason(address) != ""


@pytest.mark.parametrize(
    ("address", "listed"),
    [
        ("93.184.216.34", ("8.8.8.0/24",)),
        ("93.184.216.34", ("::/0",)),
        ("2606:4700::1111", ("0.0.0.0/0",)),
        ("::ffff:93.184.216.34", ("::/0",)),
    ],
)
def test_an_address_outside_the_list_may_not_be_dialled(address: str, listed: tuple[str, ...]) -> None:
    assert reason(address, 443, listed) == NOT_ALLOWED


def test_development_opens_loopback_and_every_port_and_keeps_the_list() -> None:
    assert reason("127.0.0.1", 8000, allow_loopback=True) == ""
    assert reason("127.0.0.1", 8000, ("127.0.0.2/32",), allow_loopback=True) == NOT_ALLOWED


def test_another_port_than_the_settings_may_not_be_dialled() -> None:
    assert reason("93.184.216.34", 8443) == "port 8443, not 443 or 9443"
    assert reason("93.184.216.34", 22) == "port 22, not 443 or 9443"


def test_who_forgets_to_say_whose_list_counts_dials_nothing() -> None:
    assert reason("93.184.216.34", 443, None) == UNKNOWN
