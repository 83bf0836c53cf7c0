"""`hookline up` as its user meets it: ready files, Ctrl-C, kill -9, two at once."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.flow, pytest.mark.timeout(240)]

HOOKLINE = [sys.executable, "-m", "compose.command"]
ROOT = Path(__file__).parents[2]
READY_WITHIN_S = 60.0
GONE_WITHIN_S = 45.0


@contextmanager
def up(folder: Path) -> Iterator[tuple["subprocess.Popen[str]", dict[str, str]]]:
    """Run `hookline up` until it is ready; kill what is left of it at the end."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "HOOKLINE_RETRY_WAITS": "1s"}
    started = time.time()
    process = subprocess.Popen(
        [*HOOKLINE, "up", "--api-port", "0", "--kafka-port", "0"],
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        deadline = time.monotonic() + READY_WITHIN_S
        announced = folder / ".hookline" / "stack.json"
        while not (announced.exists() and announced.stat().st_mtime > started):  # not one of a stack that was killed
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline, "not ready in time"
            time.sleep(0.1)
        yield process, json.loads(announced.read_text())
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def everything_under(pid: int) -> list[psutil.Process]:
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def api_of(folder: Path, stack: dict[str, str]) -> httpx.Client:
    token = (folder / ".hookline" / "admin-token").read_text()
    return httpx.Client(base_url=stack["api_url"], headers={"Authorization": f"Bearer {token}"}, trust_env=False)


def test_the_life_of_a_stack(servers_folder: Path) -> None:
    folder = servers_folder / "up"
    folder.mkdir()

    with up(folder) as (process, stack):
        assert set(stack) == {"api_url", "kafka", "database_url"}
        assert stat.S_IMODE((folder / ".hookline" / "admin-token").stat().st_mode) == 0o600
        with api_of(folder, stack) as api:
            body = {"url": "http://127.0.0.1:9/x", "event_types": ["user.*"]}
            created = api.post("/api/v1/subscriptions", json=body)
            assert created.status_code == 201, created.text

        second = subprocess.run(
            [*HOOKLINE, "up", "--api-port", "0", "--kafka-port", "0"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert second.returncode == 1
        assert "another stack" in second.stderr
        assert len(second.stderr.strip().splitlines()) == 1, second.stderr
        assert (folder / ".hookline" / "stack.json").exists(), "what is refused takes nothing from the one that runs"

        processes = everything_under(process.pid)
        assert len(processes) > 6, [each.name() for each in processes]
        process.send_signal(signal.SIGINT)
        assert process.wait(GONE_WITHIN_S) == 0
        assert psutil.wait_procs(processes, timeout=30)[1] == []
        assert not (folder / ".hookline" / "stack.json").exists()

    with up(folder) as (process, stack):  # the data is kept
        with api_of(folder, stack) as api:
            assert api.get(f"/api/v1/subscriptions/{created.json()['id']}").status_code == 200
        processes = everything_under(process.pid)
        process.kill()
        process.wait()
        assert psutil.wait_procs(processes, timeout=30)[1] == []  # nobody is left behind after kill -9

    with up(folder) as (process, stack):  # and the next start recovers
        with api_of(folder, stack) as api:
            assert api.get(f"/api/v1/subscriptions/{created.json()['id']}").status_code == 200
            accepted = api.post("/api/v1/events", json={"type": "user.created", "data": {"id": "1"}})
            assert accepted.status_code == 202, accepted.text
        process.send_signal(signal.SIGTERM)
        assert process.wait(GONE_WITHIN_S) == 0
