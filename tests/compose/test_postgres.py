"""The embedded PostgreSQL keeps its data, comes back after a crash, lets nobody in, and leaves nothing behind."""

import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg
import psutil
import pytest

from compose import children
from compose.children import LOOPBACK, EmbeddedServerError, PortTakenError, free_port
from compose.postgres import EmbeddedPostgres, _let_read

pytestmark = [pytest.mark.slow, pytest.mark.postgres]

PARENT = """
import sys
from pathlib import Path
from compose.postgres import EmbeddedPostgres
postgres = EmbeddedPostgres(Path(sys.argv[1]))
postgres.start()
postgres.wait_until_ready()
print(postgres.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a folder outside pytest's, which each pytest that starts closes for other users."""
    with TemporaryDirectory(prefix="hookline-tests-") as folder:
        yield Path(folder)


@pytest.fixture
def postgres(folder: Path) -> Iterator[EmbeddedPostgres]:
    postgres = EmbeddedPostgres(folder / "post gres")
    yield postgres
    postgres.stop()


def start(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    postgres.wait_until_ready()


def processes_in(folder: Path) -> list[psutil.Process]:
    """Return the processes that work in `folder` or below, as each of PostgreSQL's does in its data."""
    return [p for p in psutil.process_iter(["cwd"]) if Path(p.info["cwd"] or "/").is_relative_to(folder)]


def wait_for_nobody_in(folder: Path, *, within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while left := processes_in(folder):
        assert time.monotonic() < deadline, left
        time.sleep(0.02)


def lose_the_postmaster(postgres: EmbeddedPostgres) -> None:
    """Kill it alone, and return when it is dead, before anybody has asked how it ended."""
    postmaster = psutil.Process(postgres.pid)
    postmaster.kill()
    while postmaster.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.001)


def shared_memory() -> set[str]:
    """Return PostgreSQL's segments of both kinds on this machine."""
    system_v = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
    posix = [path.name for path in Path("/dev/shm").iterdir() if path.name.startswith("PostgreSQL")]
    return {line.split()[1] for line in system_v} | set(posix)


async def count_after_insert(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("CREATE TABLE IF NOT EXISTS kept (id bigserial)")
        await connection.execute("INSERT INTO kept DEFAULT VALUES")
        count = await connection.fetchval("SELECT count(*) FROM kept")
    finally:
        await connection.close()
    assert isinstance(count, int)
    return count


async def test_data_is_there_after_a_stop_a_crash_and_a_lost_postmaster(postgres: EmbeddedPostgres) -> None:
    start(postgres)
    url = postgres.database_url
    assert await count_after_insert(url) == 1
    postgres.stop()
    start(postgres)
    assert await count_after_insert(url) == 2
    postgres.kill()
    start(postgres)
    assert await count_after_insert(url) == 3
    connection = await asyncpg.connect(url)  # its process outlives the postmaster for a moment
    lose_the_postmaster(postgres)
    start(postgres)
    assert await count_after_insert(postgres.database_url) == 4
    connection.terminate()


async def test_nobody_gets_in_without_the_password_that_its_owner_alone_can_read(postgres: EmbeddedPostgres) -> None:
    start(postgres)
    password = postgres.database_url.split(":")[2].split("@")[0]
    files = [path for path in postgres.data.parent.rglob("*") if path.is_file() and path.stat().st_size < 1000]
    with_it = [path for path in files if password in path.read_text("latin-1")]
    assert [stat.S_IMODE(path.stat().st_mode) for path in with_it] == [0o600]
    assert password not in " ".join(psutil.Process(postgres.pid).cmdline())
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(postgres.database_url.replace(password, "guess"))


def test_only_this_machine_can_connect(postgres: EmbeddedPostgres) -> None:
    start(postgres)
    connections = psutil.Process(postgres.pid).net_connections()
    assert [c.laddr for c in connections if c.status == psutil.CONN_LISTEN] == [(LOOPBACK, postgres.port)]


def test_a_stop_leaves_no_process_and_no_shared_memory(postgres: EmbeddedPostgres) -> None:
    before = shared_memory()
    start(postgres)
    assert processes_in(postgres.data)
    postgres.stop()
    assert processes_in(postgres.data) == []
    assert shared_memory() <= before


def test_an_initialization_that_was_interrupted_is_done_again(folder: Path) -> None:
    data = folder / "postgres"
    with subprocess.Popen([sys.executable, "-c", PARENT, str(data)], stdin=subprocess.PIPE) as parent:
        while not any(folder.rglob("PG_VERSION")):  # initdb writes it first
            time.sleep(0.001)
        parent.kill()
    wait_for_nobody_in(folder)
    postgres = EmbeddedPostgres(data)
    try:
        start(postgres)
    finally:
        postgres.stop()


def test_a_process_id_that_somebody_else_has_now_stops_nothing(postgres: EmbeddedPostgres) -> None:
    start(postgres)
    pid_file = next(postgres.data.parent.rglob("postmaster.pid"))
    before = pid_file.read_text()
    postgres.kill()
    user = pid_file.stat().st_uid
    with subprocess.Popen(["sleep", "60"], user=user) as other:
        pid_file.write_text(before.replace(before.split()[0], str(other.pid), 1))
        start(postgres)
        other.kill()


def test_a_second_server_on_the_folder_says_so_and_harms_nothing(postgres: EmbeddedPostgres) -> None:
    start(postgres)
    second = EmbeddedPostgres(postgres.data)
    with pytest.raises(EmbeddedServerError, match=str(postgres.pid)):
        start(second)
    second.stop()
    postgres.wait_until_ready()


def test_a_taken_port_is_named_before_anything_is_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "LEAVING_S", 0.0)
    with socket.create_server((LOOPBACK, free_port())) as server:
        postgres = EmbeddedPostgres(folder / "postgres", port=server.getsockname()[1])
        with pytest.raises(PortTakenError, match=f"port {postgres.port} .* --postgres-port"):
            postgres.start()
    assert list(folder.iterdir()) == []


def test_the_environment_of_libpq_changes_nothing(postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PGHOST": "192.0.2.1", "PGPORT": "1", "PGSSLMODE": "verify-full", "PGUSER": "x"}.items():
        monkeypatch.setenv(name, value)
    start(postgres)


def test_no_process_is_left_when_the_parent_gets_sigkill(folder: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(folder / "postgres")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout
        assert parent.stdout.readline()
        assert processes_in(folder)
        parent.kill()
    wait_for_nobody_in(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands the server to another user")
def test_as_root_folders_above_let_others_pass_and_nothing_more(folder: Path) -> None:
    (folder / "closed").mkdir(mode=0o700)
    postgres = EmbeddedPostgres(folder / "closed" / "postgres")
    try:
        start(postgres)
        assert stat.S_IMODE((folder / "closed").stat().st_mode) == 0o701
        assert psutil.Process(postgres.pid).uids().real != 0
    finally:
        postgres.stop()


def test_others_get_to_read_and_run_what_only_its_owner_could(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir(mode=0o700)
    for name, mode in {"postgres": 0o700, "postgres.bki": 0o600}.items():
        (tmp_path / "bin" / name).touch(mode)
    _let_read(tmp_path / "bin")
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "bin", *sorted((tmp_path / "bin").iterdir()))]
    assert modes == [0o705, 0o705, 0o604]
