"""`make demo`'s command, as CI can see it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.flow
@pytest.mark.timeout(180)
def test_the_demo_shows_what_arrived_was_retried_died_and_was_sent_again(servers_folder: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "compose.command", "demo", "--json", "--folder", str(servers_folder / "demo")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    seen = json.loads(ran.stdout)
    assert (seen["events"], seen["delivered"], seen["dead"]) == (40, 80, 40)
    assert (seen["replayed"], seen["replay_state"], seen["replay_id"][:4]) == (40, "completed", "rpl_")
    assert (seen["forged"], seen["missing"]) == (0, [])
    assert seen["verified"] == seen["requests"] >= 40 * (1 + 3 + 4 + 1)
