"""The fold of `hookline.behind` and its fence: what a worker that lost a partition writes late never counts."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.lanes.cursors import CLAIM_KEY, NOBODY, Folded, LogRecord, Writer, key_of
from schemas.codec import UnreadableRecord, decode, encode
from schemas.ids import SubscriptionId
from schemas.records import Cursor
from schemas.topics import DELIVER
from tests.processors.made import ORGANIZATION

SUBSCRIPTION = SubscriptionId("sub_1")
KEYS = (b"k0", b"k1")
A, B, C = (1, "a"), (2, "b"), (3, "c")


@cache
def value(offset: int) -> bytes:
    """Return a cursor that stands at an offset."""
    return encode(
        Cursor(
            topic=DELIVER,
            subscription_id=SUBSCRIPTION,
            organization_id=ORGANIZATION,
            next=offset,
            reason="full",
            since=datetime(2026, 1, 1, tzinfo=UTC),
        )
    )


def claim(writer: Writer) -> LogRecord:
    return LogRecord(writer, CLAIM_KEY, b"claim")


def wrote(writer: Writer, offset: int | None, key: bytes = KEYS[0]) -> LogRecord:
    return LogRecord(writer, key, None if offset is None else value(offset))


def fold(records: list[LogRecord]) -> Folded:
    folded = Folded()
    for record in records:
        folded.take(record)
    return folded


def offsets(folded: Folded) -> dict[bytes, int]:
    return {key: cursor.next for key, cursor in folded.cursors.items()}


def test_a_key_names_topic_subscription_and_ordering_key() -> None:
    assert key_of(DELIVER, SUBSCRIPTION) == b"hookline.deliver|sub_1"
    assert key_of(DELIVER, SUBSCRIPTION, "a|b") == b"hookline.deliver|sub_1|a|b"


@pytest.mark.parametrize(
    ("records", "writer", "stands", "overwritten"),
    [
        ([], NOBODY, None, set()),
        ([claim(A)], A, None, set()),
        ([claim(A), wrote(A, 5)], A, 5, set()),
        ([claim(A), wrote(A, 5), wrote(A, None)], A, None, set()),
        ([claim(A), wrote(A, 5), claim(B)], B, 5, set()),  # what was written before a claim stays
        ([claim(A), wrote(A, 5), claim(B), wrote(A, None)], B, 5, {KEYS[0]}),  # a zombie's late null
        ([claim(A), wrote(A, 5), claim(B), wrote(A, 9)], B, 5, {KEYS[0]}),
        ([claim(A), claim(B), wrote(B, 7), wrote(A, 9), wrote(B, 7)], B, 7, set()),  # written over
        ([claim(A), claim(B), wrote(A, 9), wrote(B, None)], B, None, set()),
        ([claim((1, "a")), claim((1, "z")), wrote((1, "a"), 5)], (1, "z"), None, {KEYS[0]}),  # the greater name
        ([claim((1, "z")), claim((1, "a")), wrote((1, "a"), 5)], (1, "z"), None, {CLAIM_KEY, KEYS[0]}),
        ([claim((1, "a")), wrote((1, "z"), 5)], (1, "z"), 5, set()),  # z's claim was compacted away
        ([claim(B), claim(A), wrote(A, 5)], B, None, {CLAIM_KEY, KEYS[0]}),  # a claim that came too late
        ([claim(B), claim(A), claim(B)], B, None, set()),
        ([claim(B), claim(A), claim(C)], C, None, set()),
        ([wrote(A, 5), claim(B)], B, 5, set()),  # A's claim was compacted away
        ([wrote(A, 5), wrote(B, 6), wrote(C, 7), claim(C)], C, 7, set()),
        ([wrote(B, 6), wrote(A, 5)], B, 6, {KEYS[0]}),
        ([claim(A), wrote(NOBODY, 5)], A, None, {KEYS[0]}),  # no header: of nobody's making
        ([wrote(NOBODY, 5)], NOBODY, None, {KEYS[0]}),
        ([claim(NOBODY), claim(A)], A, None, set()),
    ],
)
def test_the_fold(records: list[LogRecord], writer: Writer, stands: int | None, overwritten: set[bytes]) -> None:
    folded = fold(records)
    assert folded.writer == writer
    assert offsets(folded) == ({} if stands is None else {KEYS[0]: stands})
    assert folded.overwritten == overwritten


def test_what_counts_and_cannot_be_read_is_an_error_and_what_does_not_count_is_none() -> None:
    garbage = LogRecord(B, KEYS[0], b"garbage")
    with pytest.raises(UnreadableRecord):
        fold([claim(B), garbage])
    assert offsets(fold([claim(B), replace(garbage, writer=A), replace(garbage, writer=NOBODY)])) == {}


# ---- the model ------------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Worker:
    """One who claims the partition; `frozen` are the writes that a stop of the process holds back."""

    name: str
    folded: Folded
    read: int = 0
    writer: Writer = NOBODY
    last: dict[bytes, bytes | None] = field(default_factory=dict)
    frozen: list[LogRecord] = field(default_factory=list)


class Partition:
    """The log, who is its rightful owner, and what the rightful owners' writes come to.

    It does what CursorLog does, a step at a time: read, claim, read on and see whether the claim counts, write, write
    over what others left. Whose claim is the highest is the owner; a write counts from when it is in the log with no
    higher claim before it, which is when CursorLog.save returns.
    """

    def __init__(
        self,
        take: Callable[[Folded, LogRecord], None] = Folded.take,
        *,
        writes_over: Callable[[bytes], bool] = lambda _: True,
    ) -> None:
        self.take = take
        self.writes_over = writes_over
        self.log: list[LogRecord] = []
        self.workers: list[Worker] = []
        self.owner: Worker | None = None
        self.expected: dict[bytes, int] = {}

    def begin(self, name: str) -> None:
        """Let one more read to the end; it has not claimed yet, and may be stopped before it does."""
        worker = Worker(f"{name}{len(self.workers)}", Folded())
        self.workers.append(worker)
        self._read(worker)

    def claim(self, worker: Worker, *, and_dies: bool = False) -> None:
        """Let it claim with the epoch that it knows of, perhaps long after it read; then read on, and again."""
        while worker.writer == NOBODY:
            self.log.append(claim((worker.folded.writer[0] + 1, worker.name)))
            self._read(worker)
            if worker.folded.writer[1] == worker.name:
                worker.writer = worker.folded.writer
                worker.last = {key: encode(cursor) for key, cursor in worker.folded.cursors.items()}
                self.owner = worker
                self.write_over()
            elif and_dies:
                return

    def write(self, worker: Worker, key: bytes, offset: int | None, *, is_frozen: bool) -> None:
        """Let a claimant write; frozen, the record arrives when it thaws."""
        record = wrote(worker.writer, offset, key)
        if is_frozen:
            worker.frozen.append(record)
            return
        self._arrive(worker, record)

    def thaw(self, worker: Worker) -> None:
        frozen, worker.frozen = worker.frozen, []
        for record in frozen:
            self._arrive(worker, record)

    def write_over(self) -> None:
        """Let the owner read on and write again what others left: a claim of its own, and its own cursors."""
        owner = self.owner
        if owner is None:
            return
        self._read(owner)
        for key in filter(self.writes_over, sorted(owner.folded.overwritten)):
            if key == CLAIM_KEY:
                self.log.append(claim(owner.writer))
            else:
                self.log.append(LogRecord(owner.writer, key, owner.last.get(key)))
        self._read(owner)

    def compact(self, keep: int) -> None:
        """Keep the last record of each key among those older than an hour: what the owner has written over by then."""
        old_enough = len(self.log) - keep
        if self.owner is None or old_enough <= 0:
            return
        self.write_over()
        old, new = self.log[:old_enough], self.log[old_enough:]
        last = {record.key: number for number, record in enumerate(old)}
        kept = [record for number, record in enumerate(old) if last[record.key] == number]
        for worker in self.workers:  # positions are offsets, which compaction does not change
            worker.read = sum(last[each.key] == number for number, each in enumerate(old[: worker.read])) + max(
                0, worker.read - old_enough
            )
        self.log = kept + new

    def _arrive(self, worker: Worker, record: LogRecord) -> None:
        self.log.append(record)
        if worker is self.owner:
            worker.last[record.key] = record.value
            self.expected.pop(record.key, None)
            if record.value is not None:
                self.expected[record.key] = decode(Cursor, record.value).next

    def _read(self, worker: Worker) -> None:
        for record in self.log[worker.read :]:
            self.take(worker.folded, record)
        worker.read = len(self.log)

    def found(self) -> dict[bytes, int]:
        """Return what whoever takes over now would find."""
        folded = Folded()
        for record in self.log:
            self.take(folded, record)
        return offsets(folded)


Step = tuple[object, ...]
numbers = st.integers(0, 3)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("begin"), st.sampled_from("abc")),
        st.tuples(st.just("claim"), numbers),
        st.tuples(st.just("claim and die"), numbers),
        st.tuples(
            st.just("write"), numbers, st.sampled_from(KEYS), st.one_of(st.none(), st.integers(1, 9)), st.booleans()
        ),
        st.tuples(st.just("thaw"), numbers),
        st.tuples(st.just("write over")),
        st.tuples(st.just("compact"), st.integers(0, 4)),
    ),
    max_size=40,
)


def after_each(partition: Partition, steps: list[Step]) -> Iterator[Step]:
    """Do the steps that can be done; yield after each."""
    for step in steps:
        match step:
            case ("begin", str(name)):
                partition.begin(name)
            case ("compact", int(keep)):
                partition.compact(keep)
            case ("write over",):
                partition.write_over()
            case (str(name), int(number), *rest) if number < len(partition.workers):
                worker = partition.workers[-1 - number]  # the newest are the ones of interest
                if name.startswith("claim"):
                    partition.claim(worker, and_dies=name.endswith("die"))
                elif name == "thaw":
                    partition.thaw(worker)
                elif worker.writer != NOBODY:
                    key, offset, is_frozen = rest
                    assert isinstance(key, bytes)
                    assert offset is None or isinstance(offset, int)
                    partition.write(worker, key, offset, is_frozen=bool(is_frozen))
        yield step


@settings(max_examples=150)
@given(steps)
def test_a_new_owner_finds_what_the_rightful_owners_wrote(steps: list[Step]) -> None:
    partition = Partition()
    for step in after_each(partition, steps):
        assert partition.found() == partition.expected, f"after {step}"


def is_kept(steps: list[Step], partition: Partition) -> bool:
    """Return whether a new owner would find what the rightful owners wrote, whenever it came."""
    return all(partition.found() == partition.expected for _ in after_each(partition, steps))


def without_the_check(folded: Folded, record: LogRecord) -> None:
    """Fold as one would who knew of no zombies: the last record of a key counts. Claims are as they should be."""
    if record.key != CLAIM_KEY and record.writer != NOBODY:
        record = replace(record, writer=folded.writer)
    Folded.take(folded, record)


ONE_WRITES: list[Step] = [("begin", "a"), ("claim", 0), ("write", 0, KEYS[0], 5, False)]
TAKES_OVER: list[Step] = [("begin", "a"), ("claim", 0)]


@pytest.mark.parametrize("late", [None, 9])
@pytest.mark.parametrize("is_frozen", [False, True])
def test_the_model_sees_a_zombie_s_record_that_counts(late: int | None, is_frozen: bool) -> None:
    zombie: Step = ("write", 1, KEYS[0], late, is_frozen)
    steps = [*ONE_WRITES, *TAKES_OVER, zombie, ("thaw", 1)]
    assert is_kept(steps, Partition())
    assert not is_kept(steps, Partition(without_the_check))


def test_the_model_sees_a_zombie_s_record_that_compaction_keeps() -> None:
    steps = [*ONE_WRITES, *TAKES_OVER, ("write", 1, KEYS[0], None, False), ("compact", 0)]
    assert is_kept(steps, Partition())
    assert not is_kept(steps, Partition(writes_over=lambda _: False))


def test_the_model_sees_a_late_claim_that_compaction_keeps() -> None:
    """Were the late one the only one left, the next owner would claim the same epoch as the last, now a zombie."""
    steps: list[Step] = [("begin", "a"), ("begin", "a"), ("claim", 1), ("begin", "c"), ("claim", 0)]
    steps += [("claim and die", 1), ("write over",), ("compact", 0), ("begin", "b"), ("claim", 0)]
    steps += [("write", 1, KEYS[0], 5, False)]
    assert is_kept(steps, Partition())
    assert not is_kept(steps, Partition(writes_over=lambda key: key != CLAIM_KEY))


@pytest.mark.parametrize(("first", "second"), [("a", "b"), ("b", "a")])
@pytest.mark.parametrize("keep", range(4))
def test_two_claims_with_one_epoch_wherever_compaction_ends(first: str, second: str, keep: int) -> None:
    """Two read nothing and claim the same epoch, the second stops there. The first may have to claim again."""
    steps: list[Step] = [("begin", first), ("begin", second), ("claim", 1), ("claim and die", 0), ("claim", 1)]
    steps += [("write", number, KEYS[0], 5, False) for number in (0, 1)]
    assert is_kept([*steps, ("compact", keep), ("write", 1, KEYS[1], 6, False), ("compact", keep)], Partition())
