"""Whether a subscription is disabled, and who is told: decided once, from the outcomes in the order of the log.

A receiver that answers 410 is gone at once. Else it takes a row of deliveries given up, or a row of failed attempts
that spans a day, without one success between them. Test sends do not count, nor what was never sent, nor what was sent
before the subscription was last enabled.

Half of the way there its organization is warned; by its first success after a warning, or after it was disabled so and
enabled again, it has recovered. Each change is an event (api/subscriptions/announcing.py) in the transaction that
writes the outcomes, so each is told once.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from api.announcing import announce
from api.projection.folding import was_sent
from api.projection.metrics import DISABLED, RECOVERED, WARNED
from api.projection.positions import Connection
from api.subscriptions.announcing import SOURCE, Failures, failing, recovered
from api.subscriptions.changes import set_enabled
from api.subscriptions.tables import stored, subject_of, subscription_to_change
from schemas.ids import OrganizationId, SubscriptionId
from schemas.records import Attempt, AttemptState

log = structlog.get_logger("api.projection")

_GONE_STATUS: Final = 410  # for good, says the receiver (RFC 9110, 15.5.11)

_READ: Final = """
SELECT s.id, s.enabled, s.enabled_at, h.failed_attempts, h.failing_since, h.exhausted, h.last_attempt_at,
    h.last_success_at, h.last_error, h.warned_at, h.troubled_since
FROM subscriptions s LEFT JOIN subscription_health h ON h.subscription_id = s.id
WHERE s.id = ANY($1::text[])
"""
_WRITE: Final = """
INSERT INTO subscription_health AS h (subscription_id, organization_id, failed_attempts, failing_since, exhausted,
    last_attempt_at, last_success_at, last_error, warned_at, troubled_since)
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::timestamptz[], $5::bigint[], $6::timestamptz[],
    $7::timestamptz[], $8::text[], $9::timestamptz[], $10::timestamptz[])
ON CONFLICT (subscription_id) DO UPDATE SET failed_attempts = excluded.failed_attempts,
    failing_since = excluded.failing_since, exhausted = excluded.exhausted, last_attempt_at = excluded.last_attempt_at,
    last_success_at = excluded.last_success_at, last_error = excluded.last_error, warned_at = excluded.warned_at,
    troubled_since = excluded.troubled_since
"""


class Reason(StrEnum):
    """Why a subscription was disabled by itself."""

    GONE = "gone"  # 410
    EXHAUSTED = "exhausted"  # deliveries in a row were given up
    FAILING = "failing"  # attempts failed for long


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much failure it takes."""

    exhausted: int = 10
    failed: int = 10
    span: timedelta = timedelta(hours=24)

    @property
    def half(self) -> "Limits":
        """How much of it leads to a warning."""
        return Limits(exhausted=-(-self.exhausted // 2), failed=-(-self.failed // 2), span=self.span / 2)


class Change(StrEnum):
    """What an outcome changes, for those who are told."""

    FAILING = "failing"
    DISABLED = "disabled"
    RECOVERED = "recovered"


@dataclass(frozen=True, slots=True)
class Decision:
    """A subscription is warned of, to be disabled, or well again. `reason` is why it is to be disabled."""

    change: Change
    attempt: Attempt  # the one that was too much, or arrived
    failures: Failures
    reason: Reason | None = None


@dataclass(slots=True, kw_only=True)
class Health:
    """A subscription's failures in a row, as far as they count since it was enabled."""

    enabled: bool
    enabled_at: datetime | None
    failed_attempts: int = 0
    failing_since: datetime | None = None
    exhausted: int = 0
    last_attempt_at: datetime | None = None
    last_success_at: datetime | None = None
    last_error: str | None = None
    warned_at: datetime | None = None
    troubled_since: datetime | None = None

    def __post_init__(self) -> None:
        """Forget failures from before the subscription was enabled."""
        if self.failing_since is not None and self._is_before(self.failing_since):
            self._start_over()

    def note(self, attempt: Attempt, limits: Limits) -> Decision | None:
        """Count an outcome; return what it changes, if anything."""
        if attempt.is_test or not was_sent(attempt):
            return None
        started_at = attempt.started_at
        self.last_attempt_at = max(self.last_attempt_at or started_at, started_at)
        if attempt.state is AttemptState.SUCCESS:
            self.last_success_at = max(self.last_success_at or started_at, started_at)
            self._start_over()
            return self._recovery(attempt)
        self.last_error = attempt.error
        if self._is_before(started_at):
            return None
        self.failed_attempts += 1
        self.failing_since = min(self.failing_since or started_at, started_at)
        self.exhausted += attempt.state is AttemptState.FAILED
        return self._verdict(attempt, limits) if self.enabled else None

    def settle(self, decision: Decision, *, is_done: bool) -> None:
        """Note whether a decision was carried out: what nobody was told is not taken back later."""
        since = decision.failures.since
        if decision.change is not Change.FAILING and is_done == (decision.change is Change.DISABLED):
            self.troubled_since = self.troubled_since or since
        elif decision.change is Change.FAILING and not is_done:
            self.warned_at = None
            self.troubled_since = None if self.troubled_since == since else self.troubled_since

    def _verdict(self, attempt: Attempt, limits: Limits) -> Decision | None:
        reason = Reason.GONE if attempt.status == _GONE_STATUS else self._beyond(attempt, limits)
        if reason is not None:
            self.enabled = False
            return Decision(Change.DISABLED, attempt, self._failures(attempt), reason)
        if self._is_warned or self._beyond(attempt, limits.half) is None:
            return None
        self.warned_at = attempt.started_at
        self.troubled_since = self.troubled_since or self.failing_since
        return Decision(Change.FAILING, attempt, self._failures(attempt))

    def _beyond(self, attempt: Attempt, limits: Limits) -> Reason | None:
        if self.exhausted >= limits.exhausted:
            return Reason.EXHAUSTED
        since = self.failing_since or attempt.started_at
        if self.failed_attempts >= limits.failed and attempt.started_at - since >= limits.span:
            return Reason.FAILING
        return None

    def _recovery(self, attempt: Attempt) -> Decision | None:
        """Return that it is well again; while it is disabled, an attempt that was under way says nothing."""
        if self.troubled_since is None or not self.enabled or self._is_before(attempt.started_at):
            return None
        failures = self._failures(attempt, since=self.troubled_since)
        self.warned_at = self.troubled_since = None
        return Decision(Change.RECOVERED, attempt, failures)

    def _failures(self, attempt: Attempt, *, since: datetime | None = None) -> Failures:
        return Failures(
            since=since or self.failing_since or attempt.started_at,
            attempts=self.failed_attempts,
            given_up=self.exhausted,
            status=attempt.status,
            error_kind=attempt.error_kind,
        )

    @property
    def _is_warned(self) -> bool:
        return self.warned_at is not None and not self._is_before(self.warned_at)

    def _start_over(self) -> None:
        self.failed_attempts, self.failing_since, self.exhausted = 0, None, 0

    def _is_before(self, moment: datetime) -> bool:
        return self.enabled_at is not None and moment < self.enabled_at


def decisions(health: Mapping[SubscriptionId, Health], attempts: Iterable[Attempt], limits: Limits) -> list[Decision]:
    """Count outcomes in the order of the log into `health` and return what they change, each once.

    Of a subscription that is not in `health` nothing is counted: it was deleted.
    """
    known = ((health.get(attempt.subscription_id), attempt) for attempt in attempts)
    noted = [of.note(attempt, limits) for of, attempt in known if of is not None]
    return [decision for decision in noted if decision is not None]


async def judge(
    connection: AsyncConnection, raw: Connection, attempts: Sequence[Attempt], limits: Limits
) -> list[Decision]:
    """Count outcomes, carry out what they change and return that, in the caller's transaction.

    `raw` is `connection`'s own. To be told (`tell`) once the transaction is committed.

    The subscriptions' rows are locked before their health is written, the order in which the API does it.
    """
    counted = [attempt for attempt in attempts if was_sent(attempt) and not attempt.is_test]
    if not counted:
        return []
    owners = {attempt.subscription_id: attempt.organization_id for attempt in counted}
    health = await _health_of(raw, sorted(owners))
    decided = sorted(decisions(health, counted, limits), key=lambda decision: decision.attempt.subscription_id)
    done = []
    for decision in decided:
        is_done = await _carry_out(connection, decision)
        health[decision.attempt.subscription_id].settle(decision, is_done=is_done)
        done += [decision] if is_done else []
    await _write_health(raw, health, owners)
    return done


def tell(done: Iterable[Decision]) -> None:
    """Log and count what was decided."""
    for decision in done:
        about = {
            "organization_id": decision.attempt.organization_id,
            "subscription_id": decision.attempt.subscription_id,
            "failing_since": decision.failures.since.isoformat(),
        }
        match decision.change:
            case Change.DISABLED:
                reason = str(decision.reason)
                DISABLED.labels(reason=reason).inc()
                log.warning("subscription.disabled", **about, reason=reason)
            case Change.FAILING:
                WARNED.inc()
                log.warning("subscription.failing", **about, failed_attempts=decision.failures.attempts)
            case Change.RECOVERED:
                RECOVERED.inc()
                log.info("subscription.recovered", **about)


async def _health_of(raw: Connection, subscriptions: Sequence[str]) -> dict[SubscriptionId, Health]:
    return {
        SubscriptionId(row["id"]): Health(
            enabled=row["enabled"],
            enabled_at=row["enabled_at"],
            failed_attempts=row["failed_attempts"] or 0,
            failing_since=row["failing_since"],
            exhausted=row["exhausted"] or 0,
            last_attempt_at=row["last_attempt_at"],
            last_success_at=row["last_success_at"],
            last_error=row["last_error"],
            warned_at=row["warned_at"],
            troubled_since=row["troubled_since"],
        )
        for row in await raw.fetch(_READ, subscriptions)
    }


async def _carry_out(connection: AsyncConnection, decision: Decision) -> bool:
    """Disable and announce; return False when somebody was quicker: it is gone, disabled, or enabled anew."""
    attempt = decision.attempt
    async with AsyncSession(connection, expire_on_commit=False) as db:
        row = await subscription_to_change(db, attempt.organization_id, attempt.subscription_id)
        if row is None or not row.enabled or (row.enabled_at is not None and attempt.started_at < row.enabled_at):
            return False
        if decision.reason is not None:
            set_enabled(row, False, reason=decision.reason)
            await stored(db, row, failures=decision.failures)
        elif decision.change is Change.FAILING:
            await announce(db, failing(subject_of(row), decision.failures), source=SOURCE)
        else:
            since = decision.failures.since
            await announce(db, recovered(subject_of(row), since=since, at=attempt.started_at), source=SOURCE)
    return True


async def _write_health(
    raw: Connection, health: Mapping[SubscriptionId, Health], owners: Mapping[SubscriptionId, OrganizationId]
) -> None:
    rows = [
        (identifier, owner, health[identifier]) for identifier, owner in sorted(owners.items()) if identifier in health
    ]
    await raw.execute(
        _WRITE,
        [identifier for identifier, _, _ in rows],
        [owner for _, owner, _ in rows],
        [of.failed_attempts for _, _, of in rows],
        [of.failing_since for _, _, of in rows],
        [of.exhausted for _, _, of in rows],
        [of.last_attempt_at for _, _, of in rows],
        [of.last_success_at for _, _, of in rows],
        [of.last_error for _, _, of in rows],
        [of.warned_at for _, _, of in rows],
        [of.troubled_since for _, _, of in rows],
    )
