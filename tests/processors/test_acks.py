"""Only the completed prefix is released, whatever finishes first; Faust's own rule is shown to lose a message."""

import asyncio

import faust
import pytest
from faust.types import TP, ConsumerMessage
from hypothesis import given
from hypothesis import strategies as st

from processors.acks import MOST_TEXT, CompletedPrefix, OutOfPlace, ahead_from_text, ahead_to_text


@st.composite
def offsets_and_completions(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """Offsets in log order, with gaps, and some of them in the order in which they finish."""
    offsets = sorted(draw(st.sets(st.integers(0, 200), min_size=1, max_size=40)))
    finishing = draw(st.permutations(offsets))
    return offsets, finishing[: draw(st.integers(0, len(offsets)))]


@given(offsets_and_completions())
def test_any_order_of_completions_releases_exactly_the_prefix_in_order(case: tuple[list[int], list[int]]) -> None:
    offsets, finishing = case
    prefix = CompletedPrefix[str]()
    for offset in offsets:
        prefix.begin(offset, f"item {offset}")
    released: list[str] = []
    finished: set[int] = set()
    for offset in finishing:
        released += prefix.complete(offset)
        finished.add(offset)
        first_open = next((o for o in offsets if o not in finished), None)
        done = [o for o in offsets if first_open is None or o < first_open]
        assert released == [f"item {o}" for o in done]
        assert prefix.lowest_unfinished == first_open
        assert prefix.position == (offsets[-1] + 1 if first_open is None else first_open)
        assert prefix.end == offsets[-1] + 1
        assert prefix.unfinished == len(offsets) - len(finished)
        assert prefix.completed_ahead() == sorted(finished - set(done))
        assert len(prefix) == len(offsets) - len(done)


def test_beginning_and_completing_may_alternate() -> None:
    prefix = CompletedPrefix[int]()
    prefix.begin(3, 3)
    assert prefix.complete(3) == [3]
    prefix.begin(10, 10)  # 4 to 9 were compacted away
    prefix.begin(11, 11)
    assert prefix.complete(11) == []
    assert prefix.complete(10) == [10, 11]
    assert prefix.position == 12


@pytest.mark.parametrize("offset", [4, 5, 6])  # 4: finished before; 5: in flight; 6: finished, behind 5
def test_an_offset_is_begun_once_and_in_order(offset: int) -> None:
    prefix = _five_in_flight()
    with pytest.raises(OutOfPlace, match=f"offset {offset} begun after 6"):
        prefix.begin(offset, None)


@pytest.mark.parametrize("offset", [4, 6, 7])  # 4: released; 6: completed before; 7: never begun
def test_an_offset_is_completed_once_and_only_when_it_was_begun(offset: int) -> None:
    with pytest.raises(OutOfPlace, match=f"offset {offset} is not in flight"):
        _five_in_flight().complete(offset)


def _five_in_flight() -> CompletedPrefix[None]:
    prefix = CompletedPrefix[None]()
    for offset in (4, 5, 6):
        prefix.begin(offset, None)
    prefix.complete(4)
    prefix.complete(6)
    return prefix


@given(st.integers(0, 2**50), st.sets(st.integers(1, 3000)))
def test_what_is_finished_ahead_survives_as_text(position: int, distances: set[int]) -> None:
    ahead = sorted(position + distance for distance in distances)
    assert ahead_from_text(position, ahead_to_text(position, ahead)) == set(ahead)


def test_text_always_fits_a_commit_and_keeps_the_lowest_offsets() -> None:
    # Every pattern of 20,000 offsets that deflates badly: two bits of the square's, an irregular set.
    ahead = [offset for offset in range(1, 100_000) if offset * offset % 7919 % 2]
    text = ahead_to_text(0, ahead)
    kept = ahead_from_text(0, text)
    assert 0 < len(text) <= MOST_TEXT
    assert kept == set(ahead[: len(kept)])
    assert len(kept) > 5000


@pytest.mark.parametrize("text", ["", "moved by hand", "é", "AAAA", "eJw="])
def test_text_of_anybody_else_names_nothing(text: str) -> None:
    assert ahead_from_text(7, text) == frozenset()


async def test_stock_faust_commits_past_a_message_in_flight_and_we_do_not() -> None:
    """Control for FAUST.md, F1: Faust 0.15.3's own consumer, its own `ack` and `_new_offset`, offsets 0 and 1 read.

    Nothing of it is started, so nothing connects.
    """
    app = faust.App("stock", broker="kafka://127.0.0.1:1", loop=asyncio.get_running_loop(), web_enabled=False)
    consumer = app.transport.create_consumer(print, on_partitions_revoked=print, on_partitions_assigned=print)
    consumer._thread.thread_loop.close()  # of the thread that is never started
    partition = TP("deliver", 0)
    app.topics._acking_topics.add(partition.topic)
    messages = [_message(partition, offset) for offset in (0, 1)]
    for message in messages:
        consumer.track_message(message)
    consumer.ack(messages[1])  # message 0 is still in flight

    assert consumer._filter_committable_offsets({partition}) == {partition: 2}  # a kill now loses message 0

    ours = CompletedPrefix[ConsumerMessage]()
    for message in messages:
        ours.begin(message.offset, message)
    assert ours.complete(1) == []
    assert ours.complete(0) == messages


def _message(partition: TP, offset: int) -> ConsumerMessage:
    return ConsumerMessage(
        topic=partition.topic,
        partition=partition.partition,
        offset=offset,
        timestamp=0.0,
        timestamp_type=0,
        headers={},
        key=b"sub",
        value=b"value",
        checksum=None,
        tp=partition,
    )
