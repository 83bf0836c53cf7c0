"""The faults, a module for each thing that breaks."""

from typing import Final

from tests.faults.scenario import Scenario
from tests.faults.scenarios import workers

ALL: Final[tuple[Scenario, ...]] = (*workers.SCENARIOS,)
