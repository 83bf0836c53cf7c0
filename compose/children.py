"""Child processes that never outlive us: start, log, stop, and a port for each.

What the embedded servers and `hookline up` share. Linux only where it matters: the kernel's parent-death
signal (prctl(2), PR_SET_PDEATHSIG) covers `kill -9` of the parent, which no handler of ours can.
"""

import ctypes
import os
import pwd
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from queue import SimpleQueue

import psutil

from schemas.errors import HooklineError

LOOPBACK = "127.0.0.1"
PR_SET_PDEATHSIG = 1  # linux/prctl.h
# Below Linux's range for outgoing connections (32768 on): a client that reconnects to a stopped server's port
# can be given that very port as its own, connect to itself, and keep the server from coming back.
FREE_PORTS = range(20_000, 32_000)
_given: set[int] = set()
LEAVING_S = 3.0  # what a server may take to be gone after its parent was killed; M: 0.1 to 0.5

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class EmbeddedServerError(HooklineError):
    """A server of the development stack does not run. `log` is its log's last lines, "" if it has none."""

    def __init__(self, detail: str, *, log: str = "") -> None:
        super().__init__(f"{detail}\n{log}" if log else detail)
        self.detail = detail
        self.log = log


class PortTakenError(EmbeddedServerError):
    """Somebody else listens on the port that `option` asked for."""

    def __init__(self, port: int, *, option: str) -> None:
        super().__init__(f"port {port} on {LOOPBACK} is in use; choose another with {option} (0 picks a free one)")
        self.port = port


@dataclass(frozen=True, slots=True)
class Child:
    """A running child process and the file its output goes to, from byte `log_from` on."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    log_from: int

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def stop(self, *, how: signal.Signals = signal.SIGTERM, within_s: float = 10.0) -> int:
        """Ask with `how`, kill after `within_s` seconds; return the exit code (negative: the signal).

        Asked of a process that has ended already, it returns that process's exit code.
        """
        self.process.send_signal(how)
        try:
            return self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int:
        """SIGKILL the process and all it started; return its exit code.

        By descent and not by process group: PostgreSQL's processes each lead a session of their own.
        """
        for process in _family_of(self.pid) if self.is_running else ():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        return self.process.wait()

    def wait_until(self, is_ready: Callable[[], bool], *, within_s: float) -> None:
        """Return once `is_ready()`; raises `EmbeddedServerError` when the process ends or takes longer."""
        deadline = time.monotonic() + within_s
        while not is_ready():
            if not self.is_running:
                raise EmbeddedServerError(
                    f"{self.name} ended with exit code {self.process.returncode} ({self.log})", log=self.log_tail()
                )
            if time.monotonic() > deadline:
                raise EmbeddedServerError(f"{self.name} is not ready after {within_s:g} s", log=self.log_tail())
            time.sleep(0.02)

    def log_tail(self, *, lines: int = 15) -> str:
        """Return the last `lines` lines of this process's output."""
        with self.log.open("rb") as log:
            log.seek(self.log_from)
            return "\n".join(log.read().decode("utf-8", "replace").splitlines()[-lines:])


def start_child(
    name: str,
    argv: Sequence[str | Path],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    folder: Path | None = None,
    run_as: pwd.struct_passwd | None = None,
    when_parent_dies: signal.Signals = signal.SIGKILL,
) -> Child:
    """Start `argv` in a session of its own, so that Ctrl-C reaches us alone and we decide the order of stops.

    Output is appended to `log`; `folder` is where it runs. `run_as` drops root for that user and its group. The kernel
    sends `when_parent_dies` when this process ends, however it ends. Raises `OSError` when `argv` cannot start.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        log_from = output.tell()
        process = _in_the_starting_thread(
            lambda: subprocess.Popen(
                [str(part) for part in argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=env,
                cwd=folder,
                start_new_session=True,
                user=run_as and run_as.pw_uid,
                group=run_as and run_as.pw_gid,
                extra_groups=[] if run_as else None,
                preexec_fn=_die_with_parent(when_parent_dies),  # noqa: PLW1509 - two system calls, no lock
            )
        )
    return Child(name, process, log, log_from)


def free_port() -> int:
    """Return a TCP port on the loopback address that nobody listens on just now, never one twice in this process.

    Who was given one may not listen on it yet: a stack picks all of its ports before it starts anything.
    """
    left = [port for port in FREE_PORTS if port not in _given]
    for port in random.sample(left, k=min(100, len(left))):  # each a miss: this machine is full
        if is_free(port):
            _given.add(port)
            return port
    raise EmbeddedServerError(f"no free port between {FREE_PORTS.start} and {FREE_PORTS.stop}")


def require_free(port: int, *, option: str) -> None:
    """Raise `PortTakenError` naming `option` when `port` stays taken.

    It waits a little: a server whose parent was killed is still on its way out when the next start comes.
    """
    deadline = time.monotonic() + LEAVING_S
    while not is_free(port):
        if time.monotonic() > deadline:
            raise PortTakenError(port, option=option)
        time.sleep(0.05)


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do it, so that connections of a server that just stopped (TIME_WAIT) don't count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def _family_of(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _die_with_parent(how: signal.Signals) -> Callable[[], None] | None:
    if _libc is None:
        return None
    parent, prctl = os.getpid(), _libc.prctl

    def ask_the_kernel() -> None:  # in the child, after it dropped root: a change of user forgets the request
        prctl(PR_SET_PDEATHSIG, int(how), 0, 0, 0)
        if os.getppid() != parent:  # it died before the kernel knew
            os._exit(1)

    return ask_the_kernel


Start = Callable[[], subprocess.Popen[bytes]]


def _in_the_starting_thread(start: Start) -> subprocess.Popen[bytes]:
    """Call `start` in a thread that lives as long as this process, and return or raise what it does.

    The kernel's "parent" is the thread that forked (prctl(2)): a server started from `asyncio.to_thread`
    would get its death signal when the pool shuts down.
    """
    started: Future[subprocess.Popen[bytes]] = Future()
    _starts().put((start, started))
    return started.result()


@cache  # called twice at once it makes two threads, which does no harm
def _starts() -> SimpleQueue[tuple[Start, Future[subprocess.Popen[bytes]]]]:
    starts: SimpleQueue[tuple[Start, Future[subprocess.Popen[bytes]]]] = SimpleQueue()

    def serve() -> None:
        while True:
            start, started = starts.get()
            try:
                started.set_result(start())
            except Exception as error:  # noqa: BLE001 - raised again where it was asked for
                started.set_exception(error)

    threading.Thread(target=serve, name="children", daemon=True).start()
    return starts
