"""Where records wait: in the order of their times, within bounds, and forgotten with their partition."""

from datetime import timedelta

import pytest

from processors.waiting import RECORD_BYTES, Bounds, Share, Waiting, WaitingRoom, next_tier, released_at
from producers.records import Outgoing

NOW = 1_700_000_000.0
TIERS = (timedelta(minutes=1), timedelta(minutes=5))


@pytest.mark.parametrize(
    ("due_in_s", "appended_ago_s", "released_in_s"),
    [
        (60, 0, 60),
        (54, 0, 54),  # shorter than its tier: on time all the same
        (300, 0, 60),  # longer: its tier's wait is over first
        (300, 90, -30),  # the mover stood still meanwhile
        (63, 0, 63),  # jitter: no further tier for so little
        (63.1, 0, 60),
        (-5, 0, -5),
        (30, -3600, 30),  # the appender's clock ran an hour ahead
    ],
)
def test_a_record_leaves_when_it_is_due_or_its_tiers_wait_is_over(
    due_in_s: float, appended_ago_s: float, released_in_s: float
) -> None:
    at = released_at(NOW + due_in_s, appended_at=NOW - appended_ago_s, wait=TIERS[0])
    assert at - NOW == released_in_s


@pytest.mark.parametrize(
    ("remaining_s", "tier"),
    [(59, None), (60, TIERS[0]), (299, TIERS[0]), (300, TIERS[1]), (86_400, TIERS[1])],
)
def test_hops_to_the_largest_tier_within_what_remains(remaining_s: float, tier: timedelta | None) -> None:
    assert next_tier(NOW + remaining_s, NOW, TIERS) == tier


def test_takes_what_is_due_in_the_order_of_its_times_and_of_its_coming() -> None:
    room, share = _room_and_share()
    for offset, in_s in enumerate([3, 1, 2, 1, 9]):
        room.admit(_waiting(share, offset, in_s))
    assert room.next_at == NOW + 1
    assert room.take_due(NOW, most=10) == []
    assert [waiting.offset for waiting in room.take_due(NOW + 5, most=3)] == [1, 3, 2]
    assert [waiting.offset for waiting in room.take_due(NOW + 5, most=3)] == [0]
    assert (room.under_way, len(room), room.next_at) == (4, 5, NOW + 9)


def test_commits_only_the_prefix_and_tells_what_is_finished_beyond() -> None:
    room, share = _room_and_share()
    for offset in range(3):
        room.admit(_waiting(share, offset, 3 - offset))
    assert not share.uncommitted
    for waiting in room.take_due(NOW + 2, most=10):
        room.finish(waiting)
    assert share.uncommitted
    assert (share.prefix.position, share.prefix.completed_ahead()) == (0, [1, 2])
    room.skip(share, 3)
    assert share.prefix.completed_ahead() == [1, 2, 3]


def test_is_overdue_from_its_time_until_it_is_finished() -> None:
    room, share = _room_and_share()
    first, second = _waiting(share, 0, 1), _waiting(share, 1, 5)
    room.admit(first)
    room.admit(second)
    assert room.overdue_s(NOW) == 0
    assert room.overdue_s(NOW + 3) == 2  # nobody took it
    assert room.take_due(NOW + 3, most=10) == [first]
    assert room.overdue_s(NOW + 4) == 3  # under way
    room.put_back(first, NOW + 10)
    assert room.overdue_s(NOW + 6) == 5  # refused, and to be tried again
    assert room.take_due(NOW + 10, most=10) == [second, first]
    room.finish(first)
    assert room.overdue_s(NOW + 10) == 5  # the second's
    room.finish(second)
    assert room.overdue_s(NOW + 99) == 0


def test_a_record_that_waits_on_is_not_overdue() -> None:
    room, share = _room_and_share()
    waiting = _waiting(share, 0, 1)
    room.admit(waiting)
    room.take_due(NOW + 1, most=1)
    room.wait_on(waiting, NOW + 4)
    assert (room.under_way, room.overdue_s(NOW + 3), room.next_at) == (0, 0, NOW + 4)


def test_forgets_a_partition_with_its_records_and_ignores_what_comes_back_of_it() -> None:
    room, share = _room_and_share()
    other = Share("tier", 1, TIERS[0])
    room.open(other)
    for offset in range(4):
        room.admit(_waiting(share, offset, 1))
    room.admit(_waiting(other, 0, 2))
    refused, finished, *_ = room.take_due(NOW + 1, most=2)
    room.close([("tier", 0), ("tier", 7)])  # 7 was never ours
    room.put_back(refused, NOW)
    room.finish(finished)
    assert (len(room), room.under_way, room.next_at) == (1, 0, NOW + 2)
    assert (room.share_of("tier", 0), list(room)) == (None, [other])


def test_a_partition_that_comes_back_begins_anew() -> None:
    room, share = _room_and_share()
    room.admit(_waiting(share, 0, 1))
    again = Share("tier", 0, TIERS[0])
    room.open(again)
    room.admit(_waiting(again, 0, 1))
    assert len(room.take_due(NOW + 1, most=10)) == 1


def test_a_partition_is_full_at_its_records_and_has_space_below_half() -> None:
    room, share = _room_and_share(Bounds(records=4))
    for offset in range(4):
        assert not room.is_full(share)
        room.admit(_waiting(share, offset, offset))
    assert room.is_full(share)
    for space in (False, False, True):
        (waiting,) = room.take_due(NOW + 9, most=1)
        room.finish(waiting)
        assert room.has_space(share) is space


def test_what_is_finished_behind_an_unfinished_record_takes_space() -> None:
    room, share = _room_and_share(Bounds(records=2))
    room.admit(_waiting(share, 0, 9))
    room.admit(_waiting(share, 1, 1))
    room.finish(room.take_due(NOW + 1, most=1)[0])
    assert room.is_full(share)


def test_one_busy_partition_takes_half_the_bytes_and_leaves_the_others_theirs() -> None:
    room, busy = _room_and_share(Bounds(bytes=2_000_000))
    quiet = Share("tier", 1, TIERS[0])
    room.open(quiet)
    offset = 0
    while not room.is_full(busy):
        room.admit(_waiting(busy, offset, 1, body=bytes(10_000)))
        offset += 1
    assert busy.bytes == pytest.approx(1_000_000, rel=0.02)
    assert not room.is_full(quiet)
    assert busy.bytes == offset * (10_000 + RECORD_BYTES)


def _room_and_share(bounds: Bounds | None = None) -> tuple[WaitingRoom, Share]:
    room, share = WaitingRoom(bounds or Bounds()), Share("tier", 0, TIERS[0])
    room.open(share)
    return room, share


def _waiting(share: Share, offset: int, in_s: float, body: bytes = b"") -> Waiting:
    return Waiting(share, offset, NOW + in_s, NOW + in_s, Outgoing("deliver", b"sub", body, []))
