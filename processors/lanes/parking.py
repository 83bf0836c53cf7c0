"""Ordered by key: a key whose delivery failed waits with its followers in a lane of its own, and other keys go on."""

from collections import deque
from collections.abc import Callable
from typing import Final

from processors.intake import Taken
from processors.lanes.lane import Lane, Running, ordering_key
from processors.lanes.memory import Memory
from schemas.records import Ordering

MOST_PARKED: Final = 1000  # keys of one subscription; with more of them it waits as a whole


def parked_of(lane: Lane, taken: Taken) -> Lane | None:
    """Return the lane of a record's key, when that is parked."""
    if not lane.share.parked[lane.id[0]] or lane.id[1] is not None:
        return None
    key = ordering_key(taken)
    return None if key is None else lane.share.behind.get((lane.id[0], key))


def follow(parked: Lane, taken: Taken, memory: Memory, *, at: float, is_live: bool) -> None:
    """Let a record follow the others of its parked key; `is_live`: it came from the live end, and holds an ack."""
    offset = taken.position.offset
    if offset < parked.position and not parked.is_missing:
        if is_live:
            parked.share.complete(offset)  # done before, by whoever had the partition
        return
    parked.last = max(parked.last, offset)
    if is_live:
        parked.let_ack(offset)
    if parked.is_missing:
        return
    if memory.has_room(parked):
        memory.queue(parked, taken, at)
        parked.position = offset + 1
    else:
        parked.is_missing, parked.position = True, offset


def park(running: Running, new_lane: Callable[[Lane, str], Lane], memory: Memory) -> Lane:
    """Return the lane of a failing record's key, which the record and what is queued behind it have moved to.

    It is not behind yet. What the subscription's own lane has not read, it hands over when it comes to it.
    """
    lane, key = running.lane, running.key or ""
    parked = new_lane(lane, key)
    memory.queue(parked, running.taken, running.began_at)
    others: deque[tuple[Taken, float]] = deque()
    for taken, at in lane.queue:
        if ordering_key(taken) != key:
            others.append((taken, at))
            continue
        parked.queue_up(taken, at)
        lane.queued_bytes -= len(taken.value or b"")
        if taken.position.offset in lane.held:
            lane.held.discard(taken.position.offset)
            parked.held.add(taken.position.offset)
    lane.queue = others
    parked.last = parked.queue[-1][0].position.offset
    parked.position = parked.last + 1
    return parked


def waits_for_parked(lane: Lane) -> bool:
    """Return whether a subscription's own lane waits for its parked keys: for all in strict order, else for a few."""
    if lane.id[1] is not None:
        return False
    return lane.share.parked[lane.id[0]] > (0 if lane.ordering is Ordering.STRICT else MOST_PARKED)
