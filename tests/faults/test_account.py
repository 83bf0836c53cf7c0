"""The account finds what is lost, by pairs, and the receiver's file says what arrived."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.faults.account import Account
from tests.faults.arrivals import Received, longest_gap_s, receiving
from tests.faults.figures import Figure, worst_of
from tests.faults.receiver import Behaviour, Endpoints, Journal


def test_what_is_owed_and_nowhere_is_lost_even_where_the_numbers_match() -> None:
    account = Account(
        owed=frozenset({("e1", "/a"), ("e1", "/b"), ("e2", "/a"), ("e2", "/b"), ("e3", "/a")}),
        taken=frozenset({("e1", "/a"), ("e9", "/a"), ("e9", "/b"), ("e8", "/b")}),  # four, of which one is owed
        dead=frozenset({("e1", "/b")}),
        waiting=frozenset({("e2", "/a"), ("e1", "/a")}),
        held=frozenset({("e3", "/a")}),
        twice={("e1", "/a"): 2, ("e9", "/a"): 5},
    )
    assert account.lost == {("e2", "/b")}
    assert account.sent_twice == 2
    figures = {figure.name: figure for figure in account.figures(most_twice=0.5)}
    assert (figures["lost"].value, figures["lost"].holds) == (1, False)
    assert figures["still waiting"].value == 1
    assert figures["dead-lettered or held"].value == 2
    assert figures["sent twice, %"].value == 40
    assert (
        account.told() == "1 lost, such as ('e2', '/b'); 1 waiting, such as ('e2', '/a'); 1 dead, such as ('e1', '/b')"
    )


def test_the_worst_of_several_runs_counts() -> None:
    runs = [[Figure("lost", 0, 0), Figure("p99", 30)], [Figure("lost", 2, 0)], [], [Figure("p99", 20)]]
    assert worst_of(runs) == [Figure("lost", 2, 0), Figure("p99", 30)]
    assert [figure.holds for figure in worst_of(runs)] == [False, True]


@pytest.mark.parametrize(
    ("times", "longest"),
    [([], 10.0), ([2.0], 8.0), ([9.0, 1.0, 5.0], 4.0), ([-3.0, 4.0, 30.0], 6.0)],  # those outside do not count
)
def test_a_gap_is_between_arrivals_and_to_both_ends(times: list[float], longest: float) -> None:
    assert longest_gap_s(times, since=0.0, until=10.0) == longest


@pytest.fixture
def received(tmp_path: Path) -> Iterator[Received]:
    with receiving(tmp_path / "receiver", seed=7) as serving:
        yield serving


def post(received: Received, path: str, event: str, *, replay: str = "", timeout_s: float = 5.0) -> int:
    headers = {"webhook-id": event, **({"hookline-replay": replay} if replay else {})}
    answer = httpx.post(f"{received.url}{path}", content=b"{}", headers=headers, timeout=timeout_s, trust_env=False)
    return answer.status_code


def test_what_was_answered_is_in_the_file_though_the_receiver_is_killed(tmp_path: Path) -> None:
    with receiving(tmp_path, seed=7) as received:
        assert post(received, "/0", "e1") == 204
        port = received.url.rpartition(":")[2]
        os.kill(_listening_on(int(port)), signal.SIGKILL)
    assert received.read() == 1
    assert received.taken.keys() == {("e1", "/0")}


def _listening_on(port: int) -> int:
    import psutil

    return next(
        child.pid
        for child in psutil.Process().children(recursive=True)
        for connection in child.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
    )


def test_failures_are_no_deliveries_and_what_comes_again_after_it_was_taken_is_twice(received: Received) -> None:
    received.behave("/0", Behaviour(fail_first=2))
    assert [post(received, "/0", "e1") for _ in range(5)] == [503, 503, 204, 204, 204]
    assert post(received, "/0", "e1", replay="rpl_1") == 503  # counted anew
    assert post(received, "/1", "e1", replay="rpl_1") == 204
    received.read()
    assert received.taken.keys() == {("e1", "/0")}
    assert received.twice == {("e1", "/0"): 2}
    assert received.taken_by_replay == {("rpl_1", ("e1", "/1")): 1}
    assert [arrival.times for arrival in received.arrivals if not arrival.replay] == [1, 2, 3, 4, 5]


def test_chance_is_the_seeds_and_not_the_order(tmp_path: Path) -> None:
    def answers(seed: str, events: list[str]) -> dict[str, int]:
        endpoints = Endpoints(Journal(tmp_path / "arrivals"), seed)
        endpoints.behave(b'{"path": "/0", "fail_share": 0.5}')
        return {event: endpoints.arrived("/0", event, "", b"")[1] for event in events}

    events = [f"e{number}" for number in range(40)]
    first = answers("1", events)
    assert first == answers("1", events[::-1])
    assert first != answers("2", events)
    assert set(first.values()) == {204, 503}


async def test_a_hanging_path_notes_the_arrival_and_takes_it_only_when_it_answers(received: Received) -> None:
    await asyncio.to_thread(received.behave, "/0", Behaviour(hang_s=0.5))
    waiting = asyncio.create_task(asyncio.to_thread(post, received, "/0", "e1"))
    with pytest.raises(httpx.ReadTimeout):
        await asyncio.to_thread(post, received, "/0", "e2", timeout_s=0.2)
    while len(received.arrivals) < 2:
        received.read()
        await asyncio.sleep(0.01)
    assert {arrival.status for arrival in received.arrivals} == {0}
    assert await waiting == 204
    deadline = time.monotonic() + 5
    while received.read() < 1:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    assert received.taken.keys() == {("e1", "/0")}
    assert len(received.arrivals) == 2
    assert not received.twice
