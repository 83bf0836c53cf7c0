"""The short form of `make faults`: some of its faults, small, once each; nothing may be lost here either.

Controls and full sizes are `make faults`, which takes hours; what a figure of time is limited to is asked there.
"""

from pathlib import Path

import pytest

from tests.faults.scenario import Setting
from tests.faults.scenarios import ALL

pytestmark = [
    pytest.mark.slow,
    pytest.mark.flow,
    pytest.mark.kafka,
    pytest.mark.postgres,
    pytest.mark.alone,
    pytest.mark.timeout(240),
]

SEED = 5
TWICE = "sent twice, %"
MOST_TWICE = 5.0  # a kill costs some deliveries, of which there are few here; 2 % of all of them is for `make faults`
OF_EVERY_MACHINE = {"lost", "dead-lettered or held", "still waiting", TWICE}


@pytest.mark.parametrize(("name", "scale"), [("kills", 0.04), ("order", 0.05), ("processes", 0.1)])
def test_nothing_is_lost(name: str, scale: float, servers_folder: Path) -> None:
    scenario = next(each for each in ALL if each.name == name)
    figures = scenario.play(Setting(servers_folder / f"faults-{name}", SEED, scale, print))
    over = [figure for figure in figures if not figure.holds and not figure.name.endswith((", s", TWICE))]
    assert not over
    assert max(figure.value for figure in figures if figure.name == TWICE) <= MOST_TWICE
    assert {figure.name for figure in figures} >= OF_EVERY_MACHINE


def test_every_hostile_receiver_is_called_what_it_is(servers_folder: Path) -> None:
    scenario = next(each for each in ALL if each.name == "receivers")
    figures = scenario.play(Setting(servers_folder / "faults-receivers", SEED, 0.1, print))
    assert not [figure for figure in figures if not figure.holds]
