"""Kafka's jars arrive whole and as locked, or not at all."""

import hashlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from compose.jars import KAFKA, LOG_BINDING, Jar, JarError, class_path, fetch_jars, locked_jars, missing_jars, tools_dir

BODY = b"PK of a jar"


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        """Say nothing."""


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[str]:
    """Return the URL of a Maven repository over the folder `repository`."""
    (tmp_path / "repository").mkdir()
    handler = partial(QuietHandler, directory=str(tmp_path / "repository"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        serving.join()


def publish(tmp_path: Path, name: str, *, body: bytes = BODY, locked: bytes = BODY) -> Jar:
    """Put a jar with `body` into the repository and return it as locked with the hash of `locked`."""
    jar = Jar("org.example", name, "1.0", hashlib.sha256(locked).hexdigest())
    path = tmp_path / "repository" / jar.path
    path.parent.mkdir(parents=True)
    path.write_bytes(body)
    return jar


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_locked_arrives_and_is_not_fetched_again(tmp_path: Path, repository: str) -> None:
    jars = [publish(tmp_path, name) for name in ("a", "b")]
    libs = tmp_path / "libs"
    assert set(fetch_jars(missing_jars(jars, libs), libs, repository=repository)) == set(jars)
    assert names_in(libs) == ["a-1.0.jar", "b-1.0.jar"]
    assert missing_jars(jars, libs) == ()


@pytest.mark.parametrize("body", [b"", BODY[:-1], b"<html>log in to the proxy</html>"])
def test_nothing_of_another_body_stays(tmp_path: Path, repository: str, body: bytes) -> None:
    jar = publish(tmp_path, "a", body=body)
    libs = tmp_path / "libs"
    with pytest.raises(JarError, match=f"a-1.0.jar has SHA-256 .* instead of the locked {jar.sha256}"):
        list(fetch_jars([jar], libs, repository=repository))
    assert names_in(libs) == []


def test_what_arrived_before_a_failure_is_kept(tmp_path: Path, repository: str) -> None:
    good, bad = publish(tmp_path, "good"), publish(tmp_path, "bad", body=b"else")
    libs = tmp_path / "libs"
    with pytest.raises(JarError, match=r"bad-1\.0\.jar"):
        list(fetch_jars([good, bad], libs, repository=repository))
    assert missing_jars([good, bad], libs) == (bad,)


def test_a_jar_that_was_damaged_on_disk_counts_as_missing_and_is_replaced(tmp_path: Path, repository: str) -> None:
    jar = publish(tmp_path, "a")
    libs = tmp_path / "libs"
    libs.mkdir()
    (libs / jar.name).write_bytes(BODY[:-1])
    assert missing_jars([jar], libs) == (jar,)
    list(fetch_jars([jar], libs, repository=repository))
    assert (libs / jar.name).read_bytes() == BODY


def test_a_repository_without_the_jar_is_named(tmp_path: Path, repository: str) -> None:
    jar = Jar("org.example", "nowhere", "1.0", "0" * 64)
    with pytest.raises(JarError, match=f"cannot fetch {repository}/org/example/nowhere/1.0/nowhere-1.0.jar: .*404"):
        list(fetch_jars([jar], tmp_path / "libs", repository=repository))


def test_the_command_says_what_is_wrong_in_one_line(tmp_path: Path, repository: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "compose.jars"],
        env={"HOOKLINE_TOOLS_DIR": str(tmp_path / "tools"), "HOOKLINE_MAVEN_REPOSITORY": repository},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr.count("\n")) == (1, 1), ran.stderr
    assert ran.stderr.startswith("compose.jars: cannot fetch")


def test_a_set_up_that_was_not_done_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOKLINE_TOOLS_DIR", str(tmp_path))
    assert tools_dir() == tmp_path
    with pytest.raises(JarError, match="make setup"):
        class_path()


def test_the_lock_holds_kafka_once_and_a_way_for_its_log() -> None:
    jars = {f"{jar.group}:{jar.artifact}:{jar.version}": jar for jar in locked_jars()}
    assert len(jars) == len(locked_jars()) == len({jar.name for jar in jars.values()})
    assert {KAFKA, LOG_BINDING} <= jars.keys()
    assert f"org.apache.logging.log4j:log4j-core:{jars[LOG_BINDING].version}" in jars  # they go together
    assert all(len(jar.sha256) == 64 for jar in jars.values())
