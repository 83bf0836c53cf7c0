"""An agent that is given one record takes what waits with it, as Faust's own stream would, a turn's worth at a time."""

import asyncio
from dataclasses import dataclass, field

import pytest

from processors.handing_on import take_what_waits


@dataclass
class Message:
    """What of Faust's message is used."""

    offset: int
    generation_id: int = 3
    tracked: bool = False


@dataclass
class Waiting:
    """Faust's event."""

    message: Message


@dataclass
class App:
    """What of Faust's app is used: its consumer's memory of what is not acked, its flow and its generation."""

    active: bool = True
    consumer_generation_id: int = 3
    unacked: list[int] = field(default_factory=list)

    @property
    def flow_control(self) -> "App":
        return self

    @property
    def consumer(self) -> "App":
        return self

    def is_active(self) -> bool:
        return self.active

    def track_message(self, message: Message) -> None:
        self.unacked.append(message.offset)


def taken(app: App, *messages: Message) -> tuple[list[int], int]:
    queue: asyncio.Queue[Waiting] = asyncio.Queue()
    for message in messages:
        queue.put_nowait(Waiting(message))
    found: list[int] = []
    take_what_waits(app, queue, lambda event: found.append(event.message.offset))
    return found, queue.qsize()


def test_all_that_waits_is_taken_in_order_and_may_be_acked() -> None:
    app = App()
    assert taken(app, *map(Message, range(5))) == (list(range(5)), 0)
    assert app.unacked == list(range(5))


def test_a_turn_of_the_loop_takes_only_so_much() -> None:
    found, left = taken(App(), *map(Message, range(500)))
    assert 0 < len(found) < 100
    assert len(found) + left == 500


@pytest.mark.parametrize(("app", "left_out"), [(App(), [1]), (App(active=False), [0, 1, 2])])
def test_what_an_assignment_that_is_over_fetched_is_left_out_and_comes_again(app: App, left_out: list[int]) -> None:
    found, _ = taken(app, Message(0), Message(1, generation_id=2), Message(2))
    assert found == [offset for offset in range(3) if offset not in left_out]
    assert app.unacked == found


def test_a_message_is_tracked_once() -> None:
    app = App()
    taken(app, Message(0, tracked=True), Message(1))
    assert app.unacked == [1]
