"""Whether a subscription is disabled: decided once, from the outcomes in the order of the log, in their transaction.

A receiver that answers 410 is gone at once. Else it takes a row of deliveries given up, or a row of failed attempts
that spans a day, without one success between them. Test sends do not count, nor what was never sent, nor what was sent
before the subscription was last enabled.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from api.projection.folding import was_sent
from api.projection.metrics import DISABLED
from api.projection.positions import Connection
from api.subscriptions.changes import set_enabled
from api.subscriptions.tables import stored, subscription_to_change
from schemas.ids import OrganizationId, SubscriptionId
from schemas.records import Attempt, AttemptState

log = structlog.get_logger("api.projection")

_GONE_STATUS: Final = 410  # for good, says the receiver (RFC 9110, 15.5.11)

_READ: Final = """
SELECT s.id, s.enabled, s.enabled_at, h.failed_attempts, h.failing_since, h.exhausted, h.last_attempt_at,
    h.last_success_at, h.last_error
FROM subscriptions s LEFT JOIN subscription_health h ON h.subscription_id = s.id
WHERE s.id = ANY($1::text[])
"""
_WRITE: Final = """
INSERT INTO subscription_health AS h (subscription_id, organization_id, failed_attempts, failing_since, exhausted,
    last_attempt_at, last_success_at, last_error)
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::timestamptz[], $5::bigint[], $6::timestamptz[],
    $7::timestamptz[], $8::text[])
ON CONFLICT (subscription_id) DO UPDATE SET failed_attempts = excluded.failed_attempts,
    failing_since = excluded.failing_since, exhausted = excluded.exhausted, last_attempt_at = excluded.last_attempt_at,
    last_success_at = excluded.last_success_at, last_error = excluded.last_error
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

    def __post_init__(self) -> None:
        """Forget failures from before the subscription was enabled."""
        if self.failing_since is not None and self._is_before(self.failing_since):
            self._start_over()

    def note(self, attempt: Attempt, limits: Limits) -> Reason | None:
        """Count an outcome; return why the subscription is to be disabled, if it is."""
        if attempt.is_test or not was_sent(attempt):
            return None
        started_at = attempt.started_at
        self.last_attempt_at = max(self.last_attempt_at or started_at, started_at)
        if attempt.state is AttemptState.SUCCESS:
            self.last_success_at = max(self.last_success_at or started_at, started_at)
            self._start_over()
            return None
        self.last_error = attempt.error
        if self._is_before(started_at):
            return None
        self.failed_attempts += 1
        self.failing_since = min(self.failing_since or started_at, started_at)
        self.exhausted += attempt.state is AttemptState.FAILED
        return self._verdict(attempt, limits) if self.enabled else None

    def _verdict(self, attempt: Attempt, limits: Limits) -> Reason | None:
        if attempt.status == _GONE_STATUS:
            return Reason.GONE
        if self.exhausted >= limits.exhausted:
            return Reason.EXHAUSTED
        since = self.failing_since or attempt.started_at
        if self.failed_attempts >= limits.failed and attempt.started_at - since >= limits.span:
            return Reason.FAILING
        return None

    def _start_over(self) -> None:
        self.failed_attempts, self.failing_since, self.exhausted = 0, None, 0

    def _is_before(self, moment: datetime) -> bool:
        return self.enabled_at is not None and moment < self.enabled_at


@dataclass(frozen=True, slots=True)
class Decision:
    """A subscription is to be disabled."""

    organization_id: OrganizationId
    subscription_id: SubscriptionId
    reason: Reason
    started_at: datetime  # of the attempt that was one too many


def decisions(health: Mapping[SubscriptionId, Health], attempts: Iterable[Attempt], limits: Limits) -> list[Decision]:
    """Count outcomes in the order of the log into `health` and return who is to be disabled, each once.

    Of a subscription that is not in `health` nothing is counted: it was deleted.
    """
    decided: list[Decision] = []
    for attempt in attempts:
        of = health.get(attempt.subscription_id)
        reason = None if of is None else of.note(attempt, limits)
        if of is not None and reason is not None:
            of.enabled = False
            decided.append(Decision(attempt.organization_id, attempt.subscription_id, reason, attempt.started_at))
    return decided


async def judge(
    connection: AsyncConnection, raw: Connection, attempts: Sequence[Attempt], limits: Limits
) -> list[Decision]:
    """Count outcomes, disable whom they condemn and return them, in the caller's transaction.

    `raw` is `connection`'s own. To be told (`tell`) once the transaction is committed.

    The subscriptions' rows are locked before their health is written, the order in which the API does it.
    """
    counted = [attempt for attempt in attempts if was_sent(attempt) and not attempt.is_test]
    if not counted:
        return []
    owners = {attempt.subscription_id: attempt.organization_id for attempt in counted}
    health = await _health_of(raw, sorted(owners))
    decided = sorted(decisions(health, counted, limits), key=lambda decision: decision.subscription_id)
    disabled = [decision for decision in decided if await _disable(connection, decision)]
    await _write_health(raw, health, owners)
    return disabled


def tell(disabled: Iterable[Decision]) -> None:
    """Log and count what was decided."""
    for decision in disabled:
        DISABLED.labels(reason=decision.reason).inc()
        log.warning(
            "subscription.disabled",
            organization_id=decision.organization_id,
            subscription_id=decision.subscription_id,
            reason=decision.reason.value,
        )


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
        )
        for row in await raw.fetch(_READ, subscriptions)
    }


async def _disable(connection: AsyncConnection, decision: Decision) -> bool:
    async with AsyncSession(connection, expire_on_commit=False) as db:
        row = await subscription_to_change(db, decision.organization_id, decision.subscription_id)
        if row is None or not row.enabled or (row.enabled_at is not None and decision.started_at < row.enabled_at):
            return False  # somebody was quicker
        set_enabled(row, False, reason=decision.reason)
        await stored(db, row)
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
    )
