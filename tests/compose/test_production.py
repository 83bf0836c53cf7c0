"""docs/production.md names commands, options and metrics that exist: who is called at night must not find out."""

import re
import shlex
import textwrap
from pathlib import Path

import asyncpg
import pytest

from api.migrations import upgrade
from tests.compose.commands import options_of
from tests.compose.shell import NO_DATABASE, NOWHERE, hookline_here

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "production.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", DOCUMENT, re.DOTALL)
LINES = [line for block in BLOCKS for line in block.splitlines() if re.search(r"\bhookline (?!\$)", line)]
INLINE = re.findall(r"`(hookline [^`]+)`", DOCUMENT)
CALLS = sorted({f"hookline {call.rpartition('hookline ')[2]}" for call in (*LINES, *INLINE)})
SOURCES = [path for part in ("api", "processors", "producers", "compose") for path in (ROOT / part).rglob("*.py")]


@pytest.mark.parametrize("call", CALLS)
def test_every_command_and_option_exists(call: str) -> None:
    words = shlex.split(call)[1:]
    names = [word for word in words if re.fullmatch(r"[a-z-]+", word) and not word.startswith("--")]
    command = names[: next((n for n in range(len(names), 0, -1) if _exists(names[:n])), len(names))]
    options = options_of(command)
    assert {word for word in words if word.startswith("--")} <= options


@pytest.mark.parametrize("process", ["api", "worker", "projector"])
def test_who_does_not_start_without_master_keys_is_said_to_need_them(process: str) -> None:
    """Also to a key's change: a projector that was left out signs with a key that the API no longer has."""
    row = next(line for line in DOCUMENT.splitlines() if line.startswith(f"| `hookline {process}`"))
    told = (row.split("|")[2], hookline_here(process, "--help").out)
    assert ["master keys" in told[0], "HOOKLINE_MASTER_KEYS" in told[1]] == [True, True]
    ran = hookline_here(process, KAFKA_BOOTSTRAP_SERVERS=NOWHERE, DATABASE_URL=NO_DATABASE)
    assert (ran.code, "HOOKLINE_MASTER_KEYS" in ran.complaint) == (2, True)
    assert process in DOCUMENT.partition("2. Put it **behind** the old one")[2].partition("3. ")[0].replace(
        "API", "api"
    )


def _exists(words: list[str]) -> bool:
    try:
        options_of(words)
    except AssertionError:
        return False
    return True


def test_every_metric_exists() -> None:
    named = set(re.findall(r"`(hookline_[a-z_]+)`", DOCUMENT)) - {"hookline_default"}  # that is Docker's network
    assert named
    source = "".join(path.read_text() for path in SOURCES)
    assert [name for name in sorted(named) if f'"{name.removesuffix("_total")}"' not in source] == []


def test_every_heading_that_it_sends_to_is_there() -> None:
    headings = re.findall(r"^### (.+)$", DOCUMENT, re.MULTILINE)
    sent_to = [
        cell for row in re.findall(r"^\|.*\|$", DOCUMENT, re.MULTILINE) for cell in re.findall(r"\"([A-Z].+?)\"", row)
    ]
    assert len(sent_to) >= 5
    assert set(sent_to) <= set(headings)


@pytest.mark.postgres
async def test_its_query_says_how_large_each_day_is(database_url: str) -> None:
    await upgrade(database_url)
    (query,) = re.findall(r"```sql\n(.*?)```", DOCUMENT, re.DOTALL)
    connection = await asyncpg.connect(database_url)
    try:
        assert await connection.fetch(textwrap.dedent(query))
    finally:
        await connection.close()
