"""What the doctor makes of what it saw: pure functions from sights to findings, each with what to do."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

from compose.positions import Backlog, Group, Head, Place
from compose.topics import ExistingTopic, PartitionsDiffer, changes_to
from schemas.topics import Topic

OVERDUE_AFTER: Final = timedelta(seconds=5)  # a mover is at most a second late and commits every quarter
BEHIND_AFTER: Final = timedelta(minutes=2)  # an attempt may take one, and holds what its partition acknowledged
LOG_BEHIND_AFTER: Final = timedelta(seconds=60)  # what was away that long ago, the log has caught up with
OUTBOX_OLD_AFTER: Final = timedelta(seconds=10)  # a change is in force everywhere within two


class Verdict(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found; `do` says what helps, "" when nothing is wrong."""

    check: str
    verdict: Verdict
    detail: str
    do: str = ""


def about_topics(existing: Mapping[str, ExistingTopic], declared: Sequence[Topic]) -> Iterator[Finding]:
    """Yield one finding when all is as declared, else one for each topic that is not."""
    flaws = 0
    for topic in declared:
        for finding in _about_topic(existing.get(topic.name), topic):
            flaws += 1
            yield finding
    if not flaws:
        yield Finding("topics", Verdict.OK, f"{len(declared)} topics are as declared")


def _about_topic(found: ExistingTopic | None, declared: Topic) -> Iterator[Finding]:
    if found is None:
        yield Finding("topics", Verdict.FAIL, f"{declared.name} is missing", "run `hookline topics apply`")
        return
    if found.leaderless:
        detail = f"{declared.name}: {found.leaderless} of {found.partitions} partitions have no leader"
        yield Finding("topics", Verdict.FAIL, detail, "start the brokers that hold them")
    try:
        changes = changes_to({declared.name: found}, [declared])
    except PartitionsDiffer as error:
        yield Finding("topics", Verdict.FAIL, str(error), f"set HOOKLINE_PARTITIONS={error.has}")
        return
    for altered in changes.altered:
        detail = f"{altered.topic} has {altered.setting}={altered.was}, declared is {altered.becomes}"
        yield Finding("topics", Verdict.WARN, detail, "run `hookline topics apply`")
    for hint in changes.hints:
        yield Finding("topics", Verdict.WARN, hint, "more copies survive more lost brokers")


def about_group(check: str, group: Group, owed: Iterable[Place], *, start: str) -> Finding:
    """Return whether every partition that is owed is held by a member of the group; `start` is how to start one."""
    uncovered = sorted(set(owed) - group.assigned)
    if not group.members:
        return Finding(check, Verdict.FAIL, "nobody is in the group", start)
    members = f"{group.members} member{'s' if group.members > 1 else ''}"
    if not uncovered:
        return Finding(check, Verdict.OK, f"{members} hold every partition")
    topics = ", ".join(dict.fromkeys(topic for topic, _ in uncovered))
    detail = f"{members}, and nobody holds {len(uncovered)} partitions of {topics}"
    if not group.settled:
        return Finding(check, Verdict.WARN, f"{detail}: it rebalances", "look again in a few seconds")
    return Finding(check, Verdict.FAIL, detail, "restart its processes; do all have the same HOOKLINE_RETRY_WAITS?")


def about_lag(topic: str, backlogs: Iterable[Backlog], heads: Mapping[Place, Head], *, now: float) -> Finding:
    """Return how many records of a topic are not acknowledged and since when the oldest waits."""
    behind = [backlog for backlog in backlogs if backlog.topic == topic and backlog.records]
    records = sum(backlog.records for backlog in behind)
    if not records:
        return Finding(f"lag {topic}", Verdict.OK, "nothing waits")
    oldest = min((heads[place].appended_at for each in behind if (place := _place(each)) in heads), default=now)
    detail = f"{records:,} records are not acknowledged, the oldest for {_span(now - oldest)}"
    if now - oldest <= BEHIND_AFTER.total_seconds():
        return Finding(f"lag {topic}", Verdict.OK, detail)
    return Finding(f"lag {topic}", Verdict.WARN, detail, "start more workers, or see in their logs what holds them")


def about_projection(backlogs: Iterable[Backlog], heads: Mapping[Place, Head], *, now: float) -> Finding:
    """Return how far the delivery log is behind the topics."""
    behind = [backlog for backlog in backlogs if backlog.records]
    records = sum(backlog.records for backlog in behind)
    oldest = min((heads[place].appended_at for each in behind if (place := _place(each)) in heads), default=now)
    if not records:
        return Finding("delivery log", Verdict.OK, "complete")
    detail = f"{records:,} records are not in it yet, the oldest for {_span(now - oldest)}"
    if now - oldest <= LOG_BEHIND_AFTER.total_seconds():
        return Finding("delivery log", Verdict.OK, detail)
    return Finding("delivery log", Verdict.FAIL, detail, "start more of `hookline projector`, or see its log")


def about_overdue(backlogs: Sequence[Backlog], heads: Mapping[Place, Head], *, now: float) -> Finding:
    """Return whether the first record of a waiting tier's partition should have been moved on by now.

    What waits there on purpose is no lag; only what is past its due time tells.
    """
    waiting = sum(backlog.records for backlog in backlogs)
    late = {
        backlog: now - due_at
        for backlog in backlogs
        if (head := heads.get(_place(backlog))) is not None and (due_at := head.due_at) is not None and due_at < now
    }
    if not late or max(late.values()) <= OVERDUE_AFTER.total_seconds():
        return Finding("overdue", Verdict.OK, f"{waiting:,} records wait in tiers, none of them is overdue")
    worst = max(late, key=lambda backlog: late[backlog])
    detail = f"a record of {worst.topic} [{worst.partition}] was due {_span(late[worst])} ago"
    return Finding("overdue", Verdict.FAIL, detail, "start `hookline mover`, or see its log")


def about_outbox(rows: int, oldest: timedelta | None) -> Finding:
    """Return whether changes of subscriptions reach the workers."""
    if oldest is None or oldest <= OUTBOX_OLD_AFTER:
        return Finding("outbox", Verdict.OK, f"{rows:,} changes on their way" if rows else "nothing waits")
    detail = f"{rows:,} changes of subscriptions wait, the oldest for {_span(oldest.total_seconds())}"
    return Finding("outbox", Verdict.FAIL, detail, "start `hookline relay`, or see its log")


def _place(backlog: Backlog) -> Place:
    return backlog.topic, backlog.partition


def _span(seconds: float) -> str:
    whole = max(0, round(seconds))
    if whole < 120:
        return f"{whole} s"
    return f"{whole // 60} min" if whole < 7200 else f"{whole // 3600} h"
