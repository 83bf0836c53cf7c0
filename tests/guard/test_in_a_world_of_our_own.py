"""The guard under attack where every address answers: nothing refused is called, and a broken guard is noticed.

The addresses heard are judged by the second table, of `tests/schemas/test_addresses.py`.
"""

import json
import shutil
import subprocess
import sys
from ipaddress import ip_address
from pathlib import Path

import pytest

from tests.guard.attacks import MIXTURES, REBINDINGS, Report
from tests.guard.breaking import WAYS
from tests.guard.world import OWN, PROXY
from tests.schemas.test_addresses import BAD, oracle_refuses
from tests.schemas.test_urls import TRICKS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

LED_ELSEWHERE = {"public", "literals", "tricks", "inside the list", "rebinding"}  # some of their names are public


@pytest.fixture(scope="module")
def reports() -> dict[str, Report]:
    """Return what was heard, by the way in which the guard was broken, "" for not at all."""
    entered = ["unshare", "-rnm"]
    tools = all(map(shutil.which, ("unshare", "ip", "mount")))
    if not tools or subprocess.run([*entered, "true"], check=False).returncode:
        pytest.skip("this machine gives no network namespace to an unprivileged user")
    run = subprocess.run(
        [*entered, sys.executable, "-m", "tests.guard.attacks"],
        check=False,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert run.returncode == 0, run.stderr
    found: dict[str, Report] = json.loads(run.stdout)
    return found


def wrongly(heard: str, report: Report) -> dict[str, list[str]]:
    """Return the addresses that were `called` or `dialled` and may not be, by phase."""
    wrong = {
        phase: [
            address
            for address, _ in found[heard]
            if phase not in LED_ELSEWHERE or address in (*OWN, PROXY) or oracle_refuses(ip_address(address))
        ]
        for phase, found in report.items()
    }
    return {phase: addresses for phase, addresses in wrong.items() if addresses}


def test_nothing_refused_is_called_or_dialled(reports: dict[str, Report]) -> None:
    assert wrongly("called", reports[""]) == {}
    assert wrongly("dialled", reports[""]) == {}


def test_what_may_be_called_is_called(reports: dict[str, Report]) -> None:
    public = [["2606:4700::1111", 443], ["93.184.216.34", 443]]
    assert reports[""]["public"]["called"] == reports[""]["public"]["dialled"] == public
    assert reports[""]["inside the list"]["called"] == [["8.8.8.8", 443]]
    assert reports[""]["inside the list"]["came"] == {"tls": 2}  # and not told of the answers outside
    assert all("success" not in found["came"] for found in reports[""].values())


def test_all_was_tried(reports: dict[str, Report]) -> None:
    tries = {phase: found["tries"] for phase, found in reports[""].items()}
    addresses = tries["names, alone"]
    assert addresses >= 140
    assert addresses == len({str(ip_address(each)) for each in BAD}) + len(OWN)
    assert tries["literals"] >= 15 * addresses
    assert [tries[f"names, {mixture}"] for mixture in MIXTURES] == [addresses] * len(MIXTURES)
    assert tries["tricks"] == len(TRICKS) >= 300
    assert tries["rebinding"] == 2 * REBINDINGS >= 2 * 1000


def test_a_refusal_is_told_as_one(reports: dict[str, Report]) -> None:
    """Also when a name has several addresses, none of which may be dialled."""
    phases = ("ports", "plain http", "outside the list", "a list of refused", *(f"names, {each}" for each in MIXTURES))
    for phase in phases:
        assert reports[""][phase]["came"] == {"blocked": reports[""][phase]["tries"]}, phase


def test_a_name_that_turns_is_looked_up_once_a_sending(reports: dict[str, Report]) -> None:
    rebinding = reports[""]["rebinding"]
    assert rebinding["most lookups of a name"] == 2  # of each kind, for two sendings: none between judging and dialling
    assert rebinding["came"] == {"blocked": REBINDINGS, "tls": REBINDINGS}


@pytest.mark.parametrize(
    ("way", "phases"),
    [
        ("the table", {"literals", "names, alone", "names, first", "rebinding", "tricks"}),
        ("own addresses", {"literals", "names, alone"}),
        ("the resolver", {"names, last"}),
        ("the socket", {"literals", "tricks", "ports", "outside the list"}),
        ("a second lookup", {"rebinding"}),
        ("ports", {"ports", "plain http"}),
        ("lists", {"outside the list"}),
    ],
)
def test_a_broken_guard_is_noticed(reports: dict[str, Report], way: str, phases: set[str]) -> None:
    assert phases <= wrongly("called", reports[way]).keys()
    assert phases <= wrongly("dialled", reports[way]).keys()


def test_every_way_to_break_the_guard_is_tried(reports: dict[str, Report]) -> None:
    assert reports.keys() == {"", *WAYS}
