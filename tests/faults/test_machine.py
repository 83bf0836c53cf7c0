"""The model in its short form, and that it notices what it is there to notice."""

import pytest

from schemas.codec import UnreadableRecord, decode
from schemas.records import Delivery, Event
from schemas.topics import EVENTS
from tests.faults import machine
from tests.faults.machine import Deliveries, Forgetful
from tests.faults.poison import KINDS, poisons

SEQUENCES = 60
SEED = 5


def test_no_sequence_of_faults_loses_or_doubles_or_overtakes() -> None:
    machine.play(Deliveries, SEQUENCES, SEED)
    assert Deliveries.played >= SEQUENCES
    assert Deliveries.owed > SEQUENCES


def test_a_cursor_that_is_not_written_is_noticed() -> None:
    with pytest.raises(AssertionError, match="lost"):
        machine.play(Forgetful, SEQUENCES, SEED)


def test_poison_is_of_every_kind_and_nobody_can_read_it() -> None:
    made = poisons(SEED)
    found = [next(made)[1] for _ in range(len(KINDS) * 8)]
    assert {poison.kind for poison in found} == KINDS.keys()
    for poison in found:
        with pytest.raises(UnreadableRecord):
            decode(Event, poison.value) if poison.topic == EVENTS else decode(Delivery, poison.value)
