"""The whole stack on one machine, for development, the demo, the benchmarks and the flow tests.

PostgreSQL and Kafka are the real servers; API, relay, worker, mover and projector are the processes that production
runs, started again when they end. All data is in one folder. `up` is `hookline up`.
"""

import fcntl
import os
import secrets
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import IO, Final

import orjson

from compose.children import Child, EmbeddedServerError, free_port, require_free, start_child
from compose.kafka import EmbeddedKafka
from compose.kafka_cluster import KafkaCluster
from compose.postgres import EmbeddedPostgres
from schemas.errors import HooklineError
from schemas.sealing import new_master_key

Say = Callable[[str], None]

API_PORT: Final = 8000
KAFKA_PORT: Final = 9092
DISPOSABLE: Final = "disposable"  # the file by which a folder says that it may be emptied
_READY_WITHIN_S: Final = 60.0
_LOOK_EVERY_S: Final = 0.1
_SHORTEST_BACKOFF_S: Final = 0.2
_LONGEST_BACKOFF_S: Final = 5.0
_MOST_STARTS: Final = 3  # without ever being ready, before a start has failed
_STEADY_S: Final = 10.0  # a process that ran this long starts over with the shortest backoff
_HOOKLINE: Final = (sys.executable, "-m", "compose.command")
_STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
# Who takes requests stops first, who stores last.
_STOP_ORDER: Final = ("api", "relay", "worker", "mover", "projector")


class FolderInUse(HooklineError):
    """Another stack runs on this folder."""


@dataclass(slots=True)
class _Process:
    """One of our processes: how to start it, the child that runs, and when to start it again."""

    name: str
    arguments: tuple[str, ...]
    env: dict[str, str]
    ready: Path
    child: Child | None = None
    started_at: float = 0.0
    backoff_s: float = _SHORTEST_BACKOFF_S
    not_before: float = 0.0
    starts: int = 0
    held: bool = False


class Stack:
    """Starts, watches and stops everything. `start` returns when all is ready; `stop` leaves no process behind."""

    def __init__(
        self,
        folder: Path,
        *,
        api_port: int = 0,
        kafka_port: int = 0,
        workers: int = 1,
        env: Mapping[str, str] | None = None,
        commands: Mapping[str, Sequence[str | Path]] | None = None,
        kafka: KafkaCluster | None = None,
        disposable: bool = False,
        say: Say = lambda _: None,
    ) -> None:
        """Prepare; nothing is started or written. Ports of 0 are picked. `env` adds settings for every process.

        `commands` starts some processes, by name, with a command line of the caller's: another release than this one,
        in a test of a deployment. `kafka` is several brokers in place of one, started and stopped with the rest.
        `disposable` empties the folder first, once it is this stack's alone, and says in it that the next may too.
        """
        self.folder = folder.absolute()
        self._api_port = api_port
        self._workers = workers
        self._extra = dict(env or {})
        self.commands = dict(commands or {})
        self._disposable = disposable
        self._say = say
        self.postgres = EmbeddedPostgres(self.folder / "postgres")
        self.kafka = kafka or EmbeddedKafka(self.folder / "kafka", port=kafka_port)
        self.api_url = ""
        self.admin_token = ""
        self._processes: dict[str, _Process] = {}
        self._lock: IO[str] | None = None
        self._stopping = threading.Event()
        self._guard = threading.Lock()
        self._watcher = threading.Thread(target=self._watch, name="stack-watch", daemon=True)

    @property
    def bootstrap_servers(self) -> str:
        """Where Kafka is."""
        return self.kafka.bootstrap_servers

    @property
    def database_url(self) -> str:
        """Where PostgreSQL is, password included."""
        return self.postgres.database_url

    @property
    def environment(self) -> dict[str, str]:
        """Every setting that a process of this stack runs with."""
        return {
            "HOOKLINE_MAIL_FOLDER": str(self.folder / "mail"),
            **os.environ,
            "DATABASE_URL": self.database_url,
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "HOOKLINE_DEVELOPMENT": "true",
            "HOOKLINE_MASTER_KEYS_FILE": str(self.folder / "master-keys"),
            "HOOKLINE_ADMIN_TOKEN_FILE": str(self.folder / "admin-token.secret"),
            **self._extra,
        }

    def start(self) -> None:
        """Start everything and return when it takes events; raises HooklineError and stops what had started."""
        self._take_folder()
        try:
            self._start_servers()
            self._prepare()
            self._start_processes()
            self._announce()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop everything, requests and deliveries at hand first; twice does no harm."""
        self._stopping.set()
        if self._lock is None:
            return  # it never had the folder: what is there belongs to the stack that has, or nothing was started
        if self._watcher.is_alive():
            self._watcher.join()
        (self.folder / "stack.json").unlink(missing_ok=True)
        for kind in _STOP_ORDER:
            stopping = [process for process in self._processes.values() if process.name.partition("-")[0] == kind]
            self._at_once(*(partial(_stop_child, process) for process in stopping))
        self._at_once(self.kafka.stop, self.postgres.stop)
        self._release_folder(self._lock)

    def child(self, name: str) -> Child:
        """Return the running child called `api`, `relay`, `mover`, `projector` or `worker-<slot>`."""
        child = self._processes[name].child
        if child is None:
            raise EmbeddedServerError(f"{name} is not running")
        return child

    def kill(self, name: str) -> None:
        """SIGKILL one of our processes; the stack starts it again, without the wait of one that crashed."""
        process = self._processes[name]
        with self._guard:
            process.backoff_s = _SHORTEST_BACKOFF_S
            child = self.child(name)
            child.kill()
            child.process.wait()
            process.ready.unlink(missing_ok=True)  # so that who waits until it is ready waits for the next one

    def hold(self, name: str) -> None:
        """Stop one of our processes and do not start it again until `release`."""
        with self._guard:
            self._processes[name].held = True
        _stop_child(self._processes[name])

    def release(self, name: str) -> None:
        """Let a held process run again."""
        with self._guard:
            self._processes[name].held = False

    def wait_until_ready(self, name: str, *, within_s: float = _READY_WITHIN_S) -> None:
        """Return when the process says that it is ready; raises EmbeddedServerError with its last lines if not."""
        process = self._processes[name]
        deadline, starts = time.monotonic() + within_s, process.starts
        while not process.ready.exists():
            late, often = time.monotonic() > deadline, process.starts > starts + _MOST_STARTS
            if late or often:
                what = f"was not ready within {within_s:.0f} s" if late else "ends again and again"
                tail = "" if process.child is None else process.child.log_tail()
                raise EmbeddedServerError(f"{name} {what}: {_last_words(self._log_of(name))}", log=tail)
            time.sleep(_LOOK_EVERY_S)

    def _take_folder(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = (self.folder / "lock").open("a+")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.seek(0)
            owner = self._lock.read().strip() or "unknown"
            self._lock.close()
            self._lock = None
            raise FolderInUse(
                f"another stack (process {owner}) runs on {self.folder}: stop it, or give another --folder"
            ) from None
        self._lock.truncate(0)
        self._lock.write(str(os.getpid()))
        self._lock.flush()
        (self.folder / "stack.json").unlink(missing_ok=True)  # of a stack that was killed: it says where nobody is
        if self._disposable:
            self._empty_folder()

    def _empty_folder(self) -> None:
        (self.folder / DISPOSABLE).touch()  # first: whoever comes after a kill may go on
        for path in self.folder.iterdir():
            if path.name in {"lock", DISPOSABLE}:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()

    def _release_folder(self, lock: IO[str]) -> None:
        lock.close()
        self._lock = None

    def _start_servers(self) -> None:
        def start(name: str, server: EmbeddedKafka | KafkaCluster | EmbeddedPostgres) -> None:
            began = time.monotonic()
            server.start()
            server.wait_until_ready()
            self._say(f"{name} ready after {time.monotonic() - began:.1f} s")

        self._at_once(lambda: start("PostgreSQL", self.postgres), lambda: start("Kafka", self.kafka))

    def _prepare(self) -> None:
        _keep_secret(self.folder / "master-keys", new_master_key)
        self.admin_token = _keep_secret(self.folder / "admin-token.secret", lambda: f"hkl_{secrets.token_urlsafe(32)}")
        self._at_once(lambda: self._run("topics", "apply"), lambda: self._run("db", "upgrade"))
        self._say("topics and tables are there")

    def _run(self, *arguments: str) -> None:
        """Run one of our commands to its end, as an operator would."""
        name = "-".join(arguments)
        log = self._log_of(name)
        child = start_child(name, [*_HOOKLINE, *arguments], log=log, env=self.environment)
        if child.process.wait(_READY_WITHIN_S) != 0:
            raise EmbeddedServerError(
                f"hookline {' '.join(arguments)} failed: {_last_words(log)}", log=child.log_tail()
            )

    def _start_processes(self) -> None:
        port = self._api_port or free_port()
        require_free(port, option="--api-port")
        self.api_url = f"http://127.0.0.1:{port}"
        self._add("api", ("api",), HOOKLINE_API_PORT=str(port), HOOKLINE_PUBLIC_URL=self.api_url)
        self._add("relay", ("relay",))
        self._add("mover", ("mover",))
        self._add("projector", ("projector",), HOOKLINE_PUBLIC_URL=self.api_url)  # in the links of e-mails
        for slot in range(self._workers):
            self._add(f"worker-{slot}", ("worker",), HOOKLINE_WORKER_SLOT=str(slot))
        began = time.monotonic()
        self._watcher.start()
        for name in self._processes:
            self.wait_until_ready(name)
        self._say(f"{', '.join(self._processes)} ready after {time.monotonic() - began:.1f} s")

    def _add(self, name: str, arguments: tuple[str, ...], **env: str) -> None:
        ready = self.folder / "run" / f"{name}.ready"
        ready.parent.mkdir(exist_ok=True)
        ready.unlink(missing_ok=True)  # of a stack that was killed
        self._processes[name] = _Process(
            name, arguments, {**self.environment, **env, "HOOKLINE_READY_FILE": str(ready)}, ready
        )

    def _log_of(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.log"

    def _watch(self) -> None:
        while not self._stopping.wait(_LOOK_EVERY_S):
            for process in self._processes.values():
                with self._guard:
                    if not process.held:
                        self._keep_running(process)

    def _keep_running(self, process: _Process) -> None:
        now = time.monotonic()
        if process.child is not None:
            if process.child.is_running:
                if now - process.started_at > _STEADY_S:
                    process.backoff_s = _SHORTEST_BACKOFF_S
                return
            process.ready.unlink(missing_ok=True)
            self._say(f"{process.name} ended ({process.child.process.returncode}); started again")
            process.child = None
            process.not_before = now + process.backoff_s
            process.backoff_s = min(process.backoff_s * 2, _LONGEST_BACKOFF_S)
        if now >= process.not_before:
            self._start_child(process)

    def _start_child(self, process: _Process) -> None:
        process.ready.unlink(missing_ok=True)
        process.child = start_child(
            process.name,
            self.commands.get(process.name, (*_HOOKLINE, *process.arguments)),
            log=self._log_of(process.name),
            env=process.env,
        )
        process.started_at = time.monotonic()
        process.starts += 1

    def _announce(self) -> None:
        _write_private(self.folder / "admin-token", self.admin_token)
        stack = {"api_url": self.api_url, "kafka": self.bootstrap_servers, "database_url": self.database_url}
        _write_private(self.folder / "stack.json", orjson.dumps(stack, option=orjson.OPT_INDENT_2).decode())

    def _at_once(self, *calls: Callable[[], object]) -> None:
        with ThreadPoolExecutor(max_workers=max(1, len(calls))) as pool:
            results = [pool.submit(call) for call in calls]
        for result in results:
            result.result()


def up(
    *, folder: Path, api_port: int = API_PORT, kafka_port: int = KAFKA_PORT, workers: int = 1, say: Say = print
) -> None:
    """Run the stack in the foreground until SIGINT or SIGTERM."""
    before = {number: signal.signal(number, _interrupt_once) for number in _STOP_SIGNALS}
    stack = Stack(folder, api_port=api_port, kafka_port=kafka_port, workers=workers, say=say)
    try:
        stack.start()
        say("")
        say(f"  API         {stack.api_url}  (token in {folder / 'admin-token'}; documentation at /docs)")
        say(f"  Kafka       {stack.bootstrap_servers}")
        say(f"  PostgreSQL  see {folder / 'stack.json'}")
        say(f"  logs        {folder / 'logs'}")
        say("")
        say("Ctrl-C stops everything and keeps the data.")
        while True:
            signal.pause()
    except KeyboardInterrupt:
        say("stopping …")
    finally:
        stack.stop()
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt_once(_: int, __: FrameType | None) -> None:
    """End what runs; a second signal would only interrupt the stopping, every step of which has a limit."""
    for number in _STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _last_words(log: Path) -> str:
    """Return a log's last line, which says why a command of ours ended, and where the rest is; all on one line."""
    lines = log.read_text(errors="replace").split("\n") if log.exists() else []
    said = next((line for line in reversed(lines) if line.strip()), "it said nothing")
    return f"{said.removeprefix('hookline: ')[:500]} ({log})"


def _stop_child(process: _Process) -> None:
    if process.child is not None:
        process.child.stop(within_s=35.0)
        process.ready.unlink(missing_ok=True)


def _keep_secret(path: Path, make: Callable[[], str]) -> str:
    """Return the secret in `path`, made at the first start and kept: what it sealed must open at the next one."""
    if not path.exists():
        _write_private(path, make())
    return path.read_text().strip()


def _write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
