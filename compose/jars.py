"""Apache Kafka's own jars from Maven Central: a lock with SHA-256, and what fetches by it.

`python -m compose.jars` fetches what `jars.lock` names and is not there yet; with `--lock` it resolves
`KAFKA` anew and rewrites the lock. A mirror is named by HOOKLINE_MAVEN_REPOSITORY, another place for the
jars by HOOKLINE_TOOLS_DIR. A jar is there when it has its final name: it gets that after its hash was right.
"""

import hashlib
import http.client
import os
import ssl
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import HooklineError

KAFKA = "org.apache.kafka:kafka_2.13:4.1.1"
# Kafka logs through slf4j 1.7 and its jar names no implementation (its archive does): without one, not even
# an error would reach the log. The version is that of Kafka's log4j-core.
LOG_BINDING = "org.apache.logging.log4j:log4j-slf4j-impl:2.24.3"
LOCK = Path(__file__).with_name("jars.lock")
AT_ONCE = 8  # downloads
TRIES = 3
TIMEOUT_S = 60.0


class JarError(HooklineError):
    """A jar could not be fetched, or is not the one that was locked."""


@dataclass(frozen=True, slots=True)
class Jar:
    """One line of the lock: `group:artifact:version sha256`."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"

    @property
    def path(self) -> str:
        """Return where every Maven repository keeps it."""
        return f"{self.group.replace('.', '/')}/{self.artifact}/{self.version}/{self.name}"

    def __str__(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version} {self.sha256}"


def tools_dir() -> Path:
    """Return the folder of what set-up fetches besides Python packages: HOOKLINE_TOOLS_DIR or `.tools/`.

    `.tools/` is in the checkout; without one (an installed wheel) it is the user's cache.
    """
    if told := os.environ.get("HOOKLINE_TOOLS_DIR"):
        return Path(told).absolute()
    checkout = Path(__file__).resolve().parents[1]
    if (checkout / "pyproject.toml").exists():
        return checkout / ".tools"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hookline"


def kafka_version() -> str:
    return KAFKA.rpartition(":")[2]


def jars_dir() -> Path:
    """Return the folder that holds exactly Kafka's class path."""
    return tools_dir() / "kafka" / kafka_version() / "libs"


def locked_jars(lock: Path = LOCK) -> tuple[Jar, ...]:
    return tuple(_jars_of(lock.read_text("utf-8").splitlines()))


def class_path() -> str:
    """Return Java's `-cp` for the embedded Kafka; raises `JarError` when set-up has not fetched it all."""
    paths = [jars_dir() / jar.name for jar in locked_jars()]
    if not all(path.exists() for path in paths):
        raise JarError(f"Kafka's jars are not all in {jars_dir()}: run `make setup` or `python -m compose.jars`")
    return os.pathsep.join(map(str, paths))


def missing_jars(jars: Iterable[Jar], libs: Path) -> tuple[Jar, ...]:
    """Return those that are not there or not what was locked."""
    return tuple(jar for jar in jars if _sha256_of(libs / jar.name) != jar.sha256)


def fetch_jars(jars: Sequence[Jar], libs: Path, *, repository: str) -> Iterator[Jar]:
    """Fetch `jars` into `libs`, several at once, and yield each when it is there with the locked hash.

    Raises `JarError` for the first that cannot be had; those that arrived stay, so the next call resumes.
    """
    libs.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        fetching = {pool.submit(_fetch, jar, libs, repository): jar for jar in jars}
        try:
            for fetched in as_completed(fetching):
                fetched.result()
                yield fetching[fetched]
        finally:
            pool.shutdown(cancel_futures=True)


def repository_url() -> str:
    """Return the base URL to fetch from: HOOKLINE_MAVEN_REPOSITORY, or Maven Central as jgo knows it."""
    from jgo.constants import MAVEN_CENTRAL_URL

    return str(os.environ.get("HOOKLINE_MAVEN_REPOSITORY") or MAVEN_CENTRAL_URL).rstrip("/")


def resolved_jars(poms: Path, *, repository: str) -> list[Jar]:
    """Return Kafka's whole class path as Maven's rules make it, each jar fetched once to be hashed."""
    from jgo.maven import Dependency, MavenContext, PythonResolver

    maven = MavenContext(repo_cache=poms, resolver=PythonResolver(), remote_repos={"central": repository})
    group, artifact, version = KAFKA.split(":")
    kafka = maven.project(group, artifact).at_version(version).artifact()
    direct, transitive = maven.resolver.resolve([Dependency(kafka)])
    names = {LOG_BINDING} | {f"{d.groupId}:{d.artifactId}:{d.version}" for d in (*direct, *transitive)}
    unhashed = list(_jars_of(f"{name} -" for name in sorted(names)))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        bodies = pool.map(lambda jar: _download(f"{repository}/{jar.path}"), unhashed)
        return [
            Jar(jar.group, jar.artifact, jar.version, hashlib.sha256(body).hexdigest())
            for jar, body in zip(unhashed, bodies, strict=True)
        ]


def _jars_of(lines: Iterable[str]) -> Iterator[Jar]:
    for line in lines:
        if line and not line.startswith("#"):
            name, sha256 = line.split()
            group, artifact, version = name.split(":")
            yield Jar(group, artifact, version, sha256)


def _sha256_of(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return ""


def _fetch(jar: Jar, libs: Path, repository: str) -> None:
    body = _download(f"{repository}/{jar.path}")
    found = hashlib.sha256(body).hexdigest()
    if found != jar.sha256:
        raise JarError(
            f"{jar.name} has SHA-256 {found} instead of the locked {jar.sha256}; nothing of it was kept: "
            "fetch again, and mistrust the mirror or proxy if it stays"
        )
    descriptor, unfinished = tempfile.mkstemp(dir=libs, prefix=f".{jar.name}.")
    try:
        with os.fdopen(descriptor, "wb") as out:
            out.write(body)
        Path(unfinished).replace(libs / jar.name)
    finally:
        with suppress(FileNotFoundError):
            Path(unfinished).unlink()


def _download(url: str) -> bytes:
    """Return what is at `url`; the system's certificates count, as a company's proxy needs."""
    request = urllib.request.Request(url, headers={"User-Agent": "hookline-setup"})  # noqa: S310 - see repository_url
    for tries_left in reversed(range(TRIES)):
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S, context=_certificates()) as answer:  # noqa: S310
                return bytes(answer.read())
        except (OSError, http.client.HTTPException) as error:  # urllib's own errors are OSErrors
            refused = False
            if isinstance(error, urllib.error.HTTPError):  # it is the answer too, with its connection
                error.close()
                refused = error.code < 500
            if refused or not tries_left:
                raise JarError(f"cannot fetch {url}: {error}") from error
    raise AssertionError("unreachable")


def _certificates() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=os.environ.get("REQUESTS_CA_BUNDLE") or None)


def _fetch_what_is_missing() -> str:
    """Fetch by the lock, with a bar on a terminal; return the line that says what is there now."""
    from rich.progress import MofNCompleteColumn, Progress

    jars, libs = locked_jars(), jars_dir()
    missing = missing_jars(jars, libs)
    with Progress(*Progress.get_default_columns(), MofNCompleteColumn(), disable=not sys.stdout.isatty()) as bar:
        task = bar.add_task(f"Apache Kafka {kafka_version()}", total=len(jars), completed=len(jars) - len(missing))
        for _ in fetch_jars(missing, libs, repository=repository_url()):
            bar.advance(task)
    return f"Apache Kafka {kafka_version()}: {len(jars)} jars in {libs}, {len(missing)} of them fetched now"


def _rewrite_lock() -> str:
    with tempfile.TemporaryDirectory() as poms:
        jars = resolved_jars(Path(poms), repository=repository_url())
    head = "# Kafka's class path, by `python -m compose.jars --lock`: group:artifact:version sha256"
    LOCK.write_text("\n".join([head, *map(str, jars)]) + "\n", "utf-8")
    return f"{len(jars)} jars locked in {LOCK}"


def main(arguments: Sequence[str]) -> int:
    try:
        print(_rewrite_lock() if "--lock" in arguments else _fetch_what_is_missing())
    except JarError as error:
        print(f"compose.jars: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
