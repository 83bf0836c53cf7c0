"""The `hookline` command as a shell runs it: a process, its exit code and what it prints."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from unittest.mock import patch

from typer.testing import CliRunner

from compose.command import main
from compose.complaints import ExitCode

ROOT = Path(__file__).parents[2]
NOWHERE = "127.0.0.1:1"
NO_DATABASE = "postgresql://hookline:password-of-the-database@127.0.0.1:1/hookline"
MASTER_KEY_BYTES = "A" * 43 + "="
MASTER_KEYS = f"k1:{MASTER_KEY_BYTES}"


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command that has ended left."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The the one line on stderr; fails when it is none or more than one."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        return lines[0]


def environment(**given: str) -> dict[str, str]:
    """Return this process's environment without settings of ours, and with what is given."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(("HOOKLINE_", "KAFKA_", "DATABASE_URL"))
    }
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "default", **given}


def hookline(*arguments: str, stdin: str = "", cwd: Path | str | None = None, **env: str) -> Ran:
    """Run `hookline …` to its end."""
    ran = subprocess.run(
        [sys.executable, "-m", "compose.command", *arguments],
        input=stdin.encode(),
        capture_output=True,
        env=environment(**env),
        cwd=cwd,
        timeout=180,  # it takes 2 s, and ten times that beside others
        check=False,
    )
    return Ran(ran.returncode, ran.stdout.decode(), ran.stderr.decode())


@contextmanager
def started(*arguments: str, cwd: Path | str | None = None, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start `hookline …`; it is killed at the end if it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "compose.command", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(**env),
        cwd=cwd,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def wait_for_file(path: Path, process: subprocess.Popen[bytes], within_s: float = 120.0) -> None:
    """Return when the file is there; fails when the process ends before, with what it said."""
    deadline = time.monotonic() + within_s
    while not path.exists():
        if process.poll() is not None:
            out, err = process.communicate()
            raise AssertionError(f"ended with {process.returncode}: {out.decode()}{err.decode()}")
        assert time.monotonic() < deadline, "not ready in time"
        time.sleep(0.05)


def hookline_here(*arguments: str, stdin: str = "", cwd: Path | str | None = None, **env: str) -> Ran:
    """Run `hookline …` to its end in this process: what it imports takes a new one up to two seconds of a core.

    What it logs goes where logs of tests go: loggers remember the stream that they wrote to first.
    """
    kept = environment(COLUMNS="120", **env)
    code: object = ExitCode.OK
    with (
        CliRunner().isolation(stdin, env={name: kept.get(name) for name in {*os.environ, *kept}}) as (out, err, _),
        patch.object(sys, "argv", ["hookline", *arguments]),
        patch("compose.logs.configure_logs"),
        chdir(cwd or "."),
    ):
        try:
            main()
        except SystemExit as ended:
            code = ended.code
        sys.stdout.flush()
        sys.stderr.flush()
        return Ran(cast(int, code), out.getvalue().decode(), err.getvalue().decode())
