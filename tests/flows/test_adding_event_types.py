"""docs/adding-event-types.md stays true: its steps run as written, and the one file is all that a type needs."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STEPS = re.compile(r"<!-- run -->\n```sh\n(.*?)```", re.DOTALL).findall(
    (ROOT / "docs" / "adding-event-types.md").read_text()
)
# What derives from the catalogue, asked of the copy.
DERIVED = """
import json, sys
from api.asyncapi.document import asyncapi_document
from api.event_types.bodies import shown_in_detail
from api.webhooks import webhooks
from compose.event_types_page import page
from schemas.catalogue import event_type_of
from schemas.envelope import new_event
found = event_type_of("invoice.paid")
new_event(type="invoice.paid", organization_id="org_1", data=dict(found.example))
json.dump({
    "shown": shown_in_detail(found).model_dump(mode="json", by_alias=True),
    "webhook": webhooks()["invoice.paid"]["post"]["summary"],
    "messages": sorted(name for name in asyncapi_document("1")["components"]["messages"] if name.startswith("invoice")),
    "page": "### invoice.paid" in page(),
}, sys.stdout)
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the packages, which the steps may change, with a `hookline` that runs them."""
    for package in ("schemas", "producers", "processors", "api", "compose"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    command = tmp_path / "bin" / "hookline"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m compose.command "$@"\n')
    command.chmod(0o755)
    return tmp_path


def ran(argv: list[str], checkout: Path) -> str:
    run = subprocess.run(
        argv,
        cwd=checkout,
        env={"PATH": f"{checkout / 'bin'}:/usr/bin:/bin", "HOME": str(checkout), "PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@pytest.mark.flow
def test_its_steps_run_as_written_and_one_file_is_all_it_takes(checkout: Path) -> None:
    assert len(STEPS) == 4
    said = [ran(["sh", "-eu", "-c", step], checkout) for step in STEPS]
    assert "version 1 is not released yet: cp " in said[1]
    assert "payer_email" in said[1]
    assert re.search(r"(?m)^(\d+) of \1 hold$", said[2])
    assert "+ currency  string, optional" in said[3]
    assert "each reads the other" in said[3]
    changed = [path for path in (checkout / "schemas").rglob("*") if path.is_file() and not in_git(path, checkout)]
    assert {path.name for path in changed if "__pycache__" not in path.parts} == {
        *("invoice.paid.avsc", "invoice.paid.1.avsc", "invoice.paid.2.avsc", "invoice.paid.avsc.before")
    }
    derived = json.loads(ran([sys.executable, "-c", DERIVED], checkout))
    assert (derived["shown"]["version"], derived["shown"]["personal"]) == (2, ["/payer_email"])
    assert derived["webhook"] == "An invoice was paid in full."
    assert derived["messages"] == [f"invoice.paid.{kind}" for kind in ("binary", "event", "structured", "webhook")]
    assert derived["page"] is True


def in_git(path: Path, checkout: Path) -> bool:
    return (ROOT / path.relative_to(checkout)).exists()
