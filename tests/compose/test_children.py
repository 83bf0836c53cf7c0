"""Children never outlive us, stop when told, and say why they did not start."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from compose import children
from compose.children import (
    FREE_PORTS,
    LOOPBACK,
    Child,
    EmbeddedServerError,
    PortTakenError,
    free_port,
    require_free,
    start_child,
)

# Says "up" once it ignores SIGTERM and has a child in a session of its own, as PostgreSQL's processes are.
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen(["sleep", "60"], start_new_session=True)
print("up", child.pid, flush=True)
time.sleep(60)
"""

# Starts a child from a thread that ends at once, says its id and waits to be killed.
PARENT = """
import sys, threading
from pathlib import Path
from compose.children import start_child
def start():
    print(start_child("sleeper", ["sleep", "60"], log=Path(sys.argv[1])).pid, flush=True)
thread = threading.Thread(target=start)
thread.start()
thread.join()
sys.stdin.read()
"""


@pytest.fixture
def stubborn(tmp_path: Path) -> Iterator[Child]:
    child = start_child("stubborn", [sys.executable, "-c", STUBBORN], log=tmp_path / "log")
    child.wait_until(lambda: "up" in child.log_tail(), within_s=10)
    yield child
    child.kill()


def test_what_ignores_a_stop_is_killed_with_all_it_started(stubborn: Child) -> None:
    grandchild = psutil.Process(int(stubborn.log_tail().split()[1]))
    assert stubborn.stop(within_s=0.2) == -signal.SIGKILL
    psutil.wait_procs([grandchild], timeout=30)
    assert not grandchild.is_running()


def test_stopping_what_has_ended_returns_how_it_ended(tmp_path: Path) -> None:
    child = start_child("short", ["sh", "-c", "exit 3"], log=tmp_path / "log")
    child.process.wait(5)
    assert (child.stop(), child.kill()) == (3, 3)


def test_a_child_outlives_the_thread_that_asked_for_it(tmp_path: Path) -> None:
    started: list[Child] = []
    thread = threading.Thread(
        target=lambda: started.append(start_child("sleeper", ["sleep", "60"], log=tmp_path / "log"))
    )
    thread.start()
    thread.join()
    (child,) = started
    try:
        with pytest.raises(subprocess.TimeoutExpired):  # the signal would be there within a millisecond
            child.process.wait(0.3)
    finally:
        child.kill()


def test_a_child_dies_with_a_parent_that_gets_sigkill(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "log")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout
        child = psutil.Process(int(parent.stdout.readline()))
        assert child.is_running()
        parent.kill()
    psutil.wait_procs([child], timeout=30)
    assert not child.is_running()


def test_the_end_of_a_child_is_told_with_its_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("of an earlier start\n")
    child = start_child("thing", ["sh", "-c", "echo first; echo no such file >&2; exit 4"], log=log)
    with pytest.raises(EmbeddedServerError, match="thing ended with exit code 4") as caught:
        child.wait_until(lambda: False, within_s=10)
    assert caught.value.log == "first\nno such file"


def test_a_child_that_does_not_get_ready_is_told(tmp_path: Path) -> None:
    child = start_child("thing", ["sleep", "60"], log=tmp_path / "log")
    try:
        with pytest.raises(EmbeddedServerError, match=r"thing is not ready after 0\.1 s"):
            child.wait_until(lambda: False, within_s=0.1)
    finally:
        child.kill()


def test_ctrl_c_does_not_reach_a_child(tmp_path: Path) -> None:
    child = start_child("sleeper", ["sleep", "60"], log=tmp_path / "log")
    try:
        assert os.getsid(child.pid) == child.pid != os.getsid(0)
    finally:
        child.kill()


def test_what_cannot_be_executed_raises_where_it_was_asked_for(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        start_child("nothing", [tmp_path / "nothing"], log=tmp_path / "log")


def test_a_taken_port_is_named_with_the_option_that_changes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "LEAVING_S", 0.0)
    with socket.create_server((LOOPBACK, free_port())) as server:
        port = server.getsockname()[1]
        with pytest.raises(PortTakenError, match=f"port {port} on 127.0.0.1 is in use.*--that-port"):
            require_free(port, option="--that-port")
    require_free(port, option="--that-port")


def test_a_port_that_is_on_its_way_out_is_waited_for() -> None:
    server = socket.create_server((LOOPBACK, free_port()))
    closing = threading.Timer(0.2, server.close)
    closing.start()
    require_free(server.getsockname()[1], option="--port")
    closing.join()


def test_no_free_port_is_given_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    few = range(FREE_PORTS.start, FREE_PORTS.start + 60)
    monkeypatch.setattr(children, "FREE_PORTS", few)
    monkeypatch.setattr(children, "_given", set())
    given = [free_port() for _ in range(30)]
    assert len(set(given)) == 30
    assert set(given) <= set(few)


def test_free_ports_are_none_that_an_outgoing_connection_gets() -> None:
    first_outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert FREE_PORTS.stop <= first_outgoing
    assert free_port() in FREE_PORTS
