"""The command line: help that teaches, one line of error, exit codes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from typing import BinaryIO

import pytest
from typer.testing import CliRunner

from compose.command import app
from compose.complaints import ExitCode, complaint_of
from schemas.sealing import sealer_of
from tests.compose.shell import (
    MASTER_KEY_BYTES,
    MASTER_KEYS,
    NO_DATABASE,
    NOWHERE,
    Ran,
    environment,
    hookline,
    hookline_here,
    started,
)
from tests.compose.standin import listed, standing_in

NO_CA = {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_CA_LOCATION": "/no/such/file"}
TOLD_API = {"HOOKLINE_API_URL": "http://127.0.0.1:1", "HOOKLINE_ADMIN_TOKEN": "an-administrators-token"}
COMMANDS = [
    ("up",), ("demo",), ("api",), ("worker",), ("mover",), ("projector",), ("relay",), ("publish",), ("event-types",),
    ("new-master-key",), ("doctor",), ("topics", "apply"), ("topics", "list"), ("db", "upgrade"), ("db", "current"),
    ("db", "downgrade"),
    ("subscriptions", "list"), ("subscriptions", "add"), ("subscriptions", "show"), ("subscriptions", "test"),
    ("subscriptions", "enable"), ("subscriptions", "disable"), ("subscriptions", "rotate-secret"),
    ("subscriptions", "change"), ("subscriptions", "pause"), ("subscriptions", "resume"), ("subscriptions", "delete"),
    ("deliveries", "list"), ("deliveries", "show"), ("deliveries", "retry"),
    ("dead-letters",), ("replay",), ("replays", "list"), ("replays", "show"), ("replays", "cancel"),
    ("replays", "pause"), ("replays", "resume"), ("jobs", "list"), ("jobs", "show"),
    ("events", "list"), ("events", "show"), ("events", "tail"), ("stats",), ("quarantine", "list"),
    ("quarantine", "show"), ("quarantine", "retry"), ("keys", "status"), ("keys", "rotate"),
    ("outbox", "relay"), ("outbox", "ddl"), ("event-types", "list"), ("event-types", "show"), ("event-types", "define"),
    ("event-types", "change"), ("event-types", "check"), ("event-types", "activate"), ("event-types", "deprecate"),
    ("event-types", "archive"), ("event-types", "delete"),
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_teaches_by_an_example(command: tuple[str, ...]) -> None:
    ran = CliRunner().invoke(app, [*command, "--help"])
    assert ran.exit_code == ExitCode.OK
    assert "Example" in ran.stdout
    assert f"hookline {' '.join(command)}" in ran.stdout.split("Example")[1]


def test_help_lists_every_command_and_the_exit_codes_and_is_quick() -> None:
    before = getrusage(RUSAGE_CHILDREN)
    ran = hookline("--help")
    after = getrusage(RUSAGE_CHILDREN)
    took_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime  # of a processor, whoever else works
    assert all(command[0] in ran.out for command in COMMANDS)
    assert "130 Ctrl-C" in ran.out
    assert took_s < 1.0  # 0.2 s; 1 s would mean that it imports what it does not need


@pytest.mark.parametrize("arguments", [(), ("topics",), ("subscriptions",)])
def test_a_group_alone_prints_its_help(arguments: tuple[str, ...]) -> None:
    ran = hookline_here(*arguments)
    assert ran.code == ExitCode.OK
    assert "Commands:" in ran.out


def test_prints_its_version() -> None:
    assert hookline_here("--version").out == "hookline 0.1.0\n"


@pytest.mark.parametrize(
    ("arguments", "env", "code", "says"),
    [
        (("no-such-command",), {}, 2, "No such command"),
        (("publish",), {}, 2, "give TYPE and --data, or --file"),
        (("up", "--api-port", "70000"), {}, 2, "--api-port"),
        (("demo", "--folder", "/etc"), {}, 2, "is not empty"),  # it would empty it
        (("publish", "user.created", "--data", "-", "--id", "a"), {}, 2, "one id cannot name many"),
        (("topics", "apply"), {"HOOKLINE_RETRY_WAITS": "5x"}, 2, "HOOKLINE_RETRY_WAITS: '5x' is no duration"),
        (("topics", "apply"), {"HOOKLINE_PARTITIONS": "0"}, 2, "HOOKLINE_PARTITIONS: should be greater than"),
        (("topics", "list"), {"KAFKA_SECURITY_PROTOCOL": "TLS"}, 2, "KAFKA_SECURITY_PROTOCOL: should be 'PLAINTEXT'"),
        (("db", "current"), {"DATABASE_URL": "mysql://me:hidden@db/x"}, 2, "DATABASE_URL: must begin with"),
        (("worker",), {"HOOKLINE_LOG_LEVEL": "loud"}, 2, "HOOKLINE_LOG_LEVEL: should be 'debug'"),
        (("worker",), {}, 2, "set HOOKLINE_MASTER_KEYS, or HOOKLINE_MASTER_KEYS_FILE"),
        (("worker",), {"HOOKLINE_MASTER_KEYS": f"k1:{MASTER_KEY_BYTES}x"}, 2, "HOOKLINE_MASTER_KEYS: "),
        (("worker",), {"HOOKLINE_MASTER_KEYS_FILE": "/no/such/file"}, 2, "HOOKLINE_MASTER_KEYS_FILE cannot be read"),
        (("api",), {"HOOKLINE_MASTER_KEYS": f"k1:{MASTER_KEY_BYTES}"}, 2, "set HOOKLINE_ADMIN_TOKEN"),
        (("api",), {"HOOKLINE_API_PORT": "http"}, 2, "HOOKLINE_API_PORT: should be a valid integer"),
        (("db", "downgrade", "0001", "--yes"), {}, 1, "PostgreSQL at 127.0.0.1:1/hookline does not answer"),
        (("db", "downgrade", "0001"), {}, 2, "without a terminal to ask on, say --yes"),
        (("db", "downgrade", "head~1", "--yes"), {}, 2, "'head~1' is none of base, 0001, 0002"),
        (("db", "current"), {}, 1, "PostgreSQL at 127.0.0.1:1/hookline does not answer"),
        (("db", "current"), {"DATABASE_URL": f"{NO_DATABASE}?sslmode=on"}, 1, "`sslmode` parameter must be one of"),
        (("topics", "list"), {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}, 2, "the KAFKA_… settings do not hold: Failed"),
        (("publish", "user.created", "--data", "{}"), {**NO_CA}, 2, "the KAFKA_… settings do not hold: Failed"),
        (("worker",), {**NO_CA, "HOOKLINE_MASTER_KEYS": MASTER_KEYS}, 2, "the KAFKA_… settings do not hold: Failed"),
        (("tokens", "list", "--organization", "öffentlich"), TOLD_API, 2, "--organization: an organization's id is"),
        (("tokens", "list", "--organization", "org_1\n"), TOLD_API, 2, "--organization: an organization's id is"),
        (("keys", "status"), {}, 2, "set HOOKLINE_MASTER_KEYS, or HOOKLINE_MASTER_KEYS_FILE"),
        (("keys", "rotate"), {"HOOKLINE_MASTER_KEYS": f"k1:{MASTER_KEY_BYTES}"}, 1, "the database does not answer"),
        (("outbox", "relay"), {"DATABASE_URL": "mysql://me:hidden@db/x"}, 2, "DATABASE_URL: must begin with"),
        (("schemas", "show", "no.such"), {}, 1, "unknown event type 'no.such'"),
    ],
)  # fmt: skip
def test_what_fails_is_one_line_that_names_it(
    arguments: tuple[str, ...], env: dict[str, str], code: int, says: str, tmp_path: Path
) -> None:
    settings = {"KAFKA_BOOTSTRAP_SERVERS": NOWHERE, "DATABASE_URL": NO_DATABASE, **env}
    complains(hookline_here(*arguments, cwd=tmp_path, **settings), code, says)


@pytest.mark.parametrize(
    ("arguments", "env", "code", "says"),
    [
        (("no-such-command",), {}, 2, "No such command"),
        (("worker",), {"HOOKLINE_MASTER_KEYS": f"k1:{MASTER_KEY_BYTES}x"}, 2, "HOOKLINE_MASTER_KEYS: "),
        (("api",), {"HOOKLINE_MASTER_KEYS": f"k1:{MASTER_KEY_BYTES}"}, 2, "set HOOKLINE_ADMIN_TOKEN"),
        (("topics", "list"), {}, 1, f"Kafka at {NOWHERE} does not answer"),
        (("db", "upgrade"), {}, 1, "PostgreSQL at 127.0.0.1:1/hookline does not answer"),
    ],
)
def test_a_process_says_no_more_than_that_line(
    arguments: tuple[str, ...], env: dict[str, str], code: int, says: str, tmp_path: Path
) -> None:
    """Nor do its logs, libraries in C, or warnings."""
    settings = {"KAFKA_BOOTSTRAP_SERVERS": NOWHERE, "DATABASE_URL": NO_DATABASE, **env}
    complains(hookline(*arguments, cwd=tmp_path, **settings), code, says)


def complains(ran: Ran, code: int, says: str) -> None:
    assert ran.code == code
    assert says in ran.complaint
    assert ran.complaint.startswith("hookline: ")
    for secret in ("password-of-the-database", "hidden", MASTER_KEY_BYTES):
        assert secret not in ran.out + ran.err


def test_a_traceback_comes_only_when_it_is_asked_for() -> None:
    assert "Traceback" in hookline("--debug", "schemas", "show", "no.such").err


def test_an_unexpected_error_is_one_line_without_secrets() -> None:
    code, line = complaint_of(RuntimeError("postgresql://me:hidden@db/x\nand whsec_AAAA on another line"))
    assert code == ExitCode.FAILED
    assert line.startswith("unexpected RuntimeError: postgresql://me:***@db/x")
    assert "\n" not in line
    assert "AAAA" not in line


def test_ctrl_c_is_130() -> None:
    assert complaint_of(KeyboardInterrupt()) == (ExitCode.INTERRUPTED, "interrupted")


def test_says_nothing_when_its_reader_has_enough() -> None:
    with started("event-types") as process:  # `hookline event-types | head -1`
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""


def test_a_short_answer_that_nobody_reads_ends_as_a_long_one() -> None:
    """What fits a buffer is written when the process ends: Python itself would complain then, and exit with 120."""
    reading, writing = os.pipe()
    os.close(reading)
    with standing_in() as api, os.fdopen(writing, "wb") as nobody:
        api.answers = {"GET /subscriptions": listed({"id": "sub_1"})}
        assert _answered_to(nobody, "subscriptions", "list", "--json", **api.env) == (ExitCode.FAILED, "")


def test_a_full_disk_is_one_line_and_exit_code_1() -> None:
    with Path("/dev/full").open("wb") as full:
        code, complaint = _answered_to(full, "outbox", "ddl")
    assert code == ExitCode.FAILED
    assert ["No space left" in line for line in complaint.splitlines()] == [True]


def _answered_to(stdout: BinaryIO, *arguments: str, **env: str) -> tuple[int, str]:
    """Run `hookline …` with a stdout that it buffers, and return its exit code and what is on stderr."""
    ran = subprocess.run(
        [sys.executable, "-m", "compose.command", *arguments],
        stdout=stdout,
        stderr=subprocess.PIPE,
        env=environment(PYTHONUNBUFFERED="", **env),
        timeout=180,
        check=False,
    )
    return ran.returncode, ran.stderr.decode()


def test_lists_the_event_types_for_people_and_programs() -> None:
    assert "user.created" in hookline_here("event-types").out
    listed = json.loads(hookline_here("event-types", "--json").out)["event_types"]
    assert {"name", "category", "description", "state", "schema"} <= set(listed[0])
    assert "hookline.test" in {each["name"] for each in listed}


def test_shows_an_event_type_with_an_example_that_publishes() -> None:
    shown = hookline_here("event-types", "user.created").out
    assert "required" in shown
    assert "hookline publish user.created --data '{" in shown
    assert json.loads(hookline_here("event-types", "user.created", "--json").out)["schema"]["fields"]


def test_a_new_master_key_is_one_that_seals() -> None:
    first, second = hookline_here("new-master-key").out.strip(), hookline_here("new-master-key").out.strip()
    assert first != second
    sealed = sealer_of(first).seal(b"x", organization="o", row="r", purpose="p")
    assert sealer_of(f"{second},{first}").open(sealed, organization="o", row="r", purpose="p") == b"x"


@pytest.mark.parametrize("command", ["status", "rotate"])
def test_the_keys_of_a_database_without_tables_say_what_to_do(command: str, database_url: str) -> None:
    ran = hookline_here("keys", command, DATABASE_URL=database_url, HOOKLINE_MASTER_KEYS=MASTER_KEYS)
    complains(ran, 1, "run `hookline db upgrade`")


def test_the_database_is_upgraded_once_and_says_from_where(database_url: str) -> None:
    env = {"DATABASE_URL": database_url}
    assert json.loads(hookline_here("db", "current", "--json", **env).out)["current"] is None
    first, second = hookline_here("db", "upgrade", **env), hookline_here("db", "upgrade", **env)
    assert first.out.startswith("from nothing to ")
    assert second.out.startswith("already at ")
    assert "the newest" in hookline_here("db", "current", **env).out


def test_the_database_is_taken_back_and_says_from_where(database_url: str) -> None:
    env = {"DATABASE_URL": database_url}
    head = json.loads(hookline_here("db", "upgrade", "--json", **env).out)["to"]
    assert hookline_here("db", "downgrade", "0001", "--yes", **env).out == f"from {head} to 0001\n"
    assert (
        "earlier than 0003: run `hookline db upgrade`"
        in hookline_here("db", "downgrade", "0003", "--yes", **env).complaint
    )
    assert json.loads(hookline_here("db", "downgrade", "base", "--yes", "--json", **env).out) == {
        "from": "0001",
        "to": "base",
    }
    assert json.loads(hookline_here("db", "current", "--json", **env).out)["current"] is None


@pytest.mark.slow
def test_takes_from_the_running_stack_what_the_environment_does_not_say(tmp_path: Path, database_url: str) -> None:
    folder = tmp_path / ".hookline"
    folder.mkdir()
    stack = {"api_url": "http://127.0.0.1:8000", "kafka": "127.0.0.1:2", "database_url": database_url}
    (folder / "stack.json").write_text(json.dumps(stack))
    assert hookline_here("db", "upgrade", cwd=tmp_path).code == 0
    assert "Kafka at 127.0.0.1:2 " in hookline_here("topics", "list", cwd=tmp_path).complaint
    assert (
        "PostgreSQL at 127.0.0.1:1/" in hookline_here("db", "current", cwd=tmp_path, DATABASE_URL=NO_DATABASE).complaint
    )


@pytest.mark.parametrize("broken", ["", "[]", "{}", '{"kafka": 1'])
def test_a_broken_stack_file_is_named(tmp_path: Path, broken: str) -> None:
    (tmp_path / ".hookline").mkdir()
    (tmp_path / ".hookline" / "stack.json").write_text(broken)
    ran = hookline_here("topics", "list", cwd=tmp_path)
    assert ran.code == ExitCode.USAGE
    assert ".hookline/stack.json cannot be read" in ran.complaint
