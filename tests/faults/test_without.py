"""What the controls take out is still where they look for it."""

import subprocess
import sys
from pathlib import Path

from tests.faults.scenarios import ALL
from tests.faults.without import MECHANISMS

TAKE_OUT_ALL = """
from tests.faults.without import MECHANISMS, read_one_more
for take_out in MECHANISMS.values():
    take_out()
read_one_more("hookline.one-more", "/dev/null")
"""


def test_every_mechanism_can_be_taken_out() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", TAKE_OUT_ALL],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "nothing" in MECHANISMS


def test_names_of_faults_are_for_a_command_line_and_differ() -> None:
    names = [scenario.name for scenario in ALL]
    assert len(set(names)) == len(names)
    assert all(name.isascii() and " " not in name for name in names)
