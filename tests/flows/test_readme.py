"""README stays true: its commands run, its make targets, files and settings exist."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main

from compose.command import app
from compose.settings_table import variables
from compose.stack import Stack

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
RUNNABLE = re.compile(r"<!-- run -->\n```sh\n(.*?)```", re.DOTALL)


@pytest.mark.slow
@pytest.mark.flow
@pytest.mark.skipif(shutil.which("curl") is None, reason="README's commands use curl")
def test_its_commands_run_one_after_the_other(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / ".hookline").symlink_to(stack.folder)
    blocks = RUNNABLE.findall(README)
    assert len(blocks) == 6
    script = "set -eu\n" + "\n".join(blocks)
    path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    ran = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env={"PATH": path, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert '"secret":"whsec_' in ran.stdout.replace(" ", "")
    assert ran.stdout.count("evt_") >= 2, ran.stdout
    assert "success rate" in ran.stdout
    assert "deliveries would be sent again" in ran.stdout


def test_its_commands_and_their_options_exist() -> None:
    lines = [line.partition("#")[0].split() for line in README.splitlines() if line.startswith("hookline ")]
    assert len(lines) > 20
    for line in lines:
        words = line[1:]
        command: Any = typer.main.get_command(app)  # typer brings a click of its own
        while words and (inner := getattr(command, "commands", {}).get(words[0])):
            command, words = inner, words[1:]
        assert command.params or not getattr(command, "commands", {}), words  # a group without options does nothing
        known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        assert {word for word in words if word.startswith("--")} <= known, command.name


def test_its_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"^make ([a-z]+)", README, re.MULTILINE)) <= targets


def test_its_links_lead_to_files() -> None:
    links = re.findall(r"\]\((?!https?://)([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize(
    "document",
    [
        "README.md",
        "DESIGN.md",
        "SECURITY.md",
        "CONTRIBUTING.md",
        "docs/adding-event-types.md",
        "docs/cloudevents.md",
        "docs/filters.md",
        "docs/identity.md",
        "docs/own-event-types.md",
        "docs/payloads.md",
        "docs/publishing.md",
        "docs/replay.md",
        "docs/performance.md",
        "docs/production.md",
    ],
)
def test_the_settings_that_documents_name_exist(document: str) -> None:
    named = set(re.findall(r"\bHOOKLINE_[A-Z_]+[A-Z]\b", (ROOT / document).read_text()))
    assert named <= variables() | {"HOOKLINE_TOOLS_DIR"}


@pytest.mark.parametrize("document", ["README.md", "DESIGN.md", "SECURITY.md", "CONTRIBUTING.md", "docs/identity.md"])
def test_the_files_that_documents_name_exist(document: str) -> None:
    named = re.findall(
        r"`((?:schemas|producers|processors|api|compose|tests|bench|docs)/[\w./-]*)`", (ROOT / document).read_text()
    )
    assert [name for name in named if not (ROOT / name).exists()] == []
