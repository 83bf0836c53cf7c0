"""The faults, a module for each thing that breaks."""

from typing import Final

from tests.faults.scenario import Scenario
from tests.faults.scenarios import (
    brokers,
    database,
    deploys,
    million,
    order,
    outbox,
    poisoned,
    processes,
    receivers,
    sequences,
    tiers,
    workers,
)

ALL: Final[tuple[Scenario, ...]] = (
    *workers.SCENARIOS,
    *order.SCENARIOS,
    *deploys.SCENARIOS,
    *brokers.SCENARIOS,
    *database.SCENARIOS,
    *outbox.SCENARIOS,
    *processes.SCENARIOS,
    *poisoned.SCENARIOS,
    *receivers.SCENARIOS,
    *tiers.SCENARIOS,
    *million.SCENARIOS,
    *sequences.SCENARIOS,
)
