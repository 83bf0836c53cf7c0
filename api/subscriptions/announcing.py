"""What an organization is told of its subscriptions: events of our own, delivered like any other.

The one that an event is about does not receive it (processors/routing.py): what fails would fail once more for each
time that it is said.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

from schemas.envelope import new_event
from schemas.json_values import Json
from schemas.records import Event

SOURCE: Final = "/hookline/subscriptions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The subscription that an event is about."""

    id: str
    organization_id: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """What went wrong in a row, and what the last attempt came to."""

    since: datetime
    attempts: int
    given_up: int
    status: int | None
    error_kind: str | None


def failing(subject: Subject, failures: Failures) -> Event:
    """Return the event that warns: it is half of the way to being disabled."""
    return _event("subscription.failing", subject, _said(failures))


def disabled(subject: Subject, *, reason: str, at: datetime, failures: Failures | None = None) -> Event:
    """Return the event that tells that it was disabled; by a caller, without failures."""
    said: dict[str, Json] = {} if failures is None else _said(failures)
    return _event("subscription.disabled", subject, {"reason": reason, "disabled_at": at.isoformat(), **said})


def recovered(subject: Subject, *, since: datetime, at: datetime) -> Event:
    """Return the event that takes a warning, or an automatic disabling, back."""
    return _event(
        "subscription.recovered", subject, {"failing_since": since.isoformat(), "recovered_at": at.isoformat()}
    )


def _said(failures: Failures) -> dict[str, Json]:
    return {
        "failing_since": failures.since.isoformat(),
        "failed_attempts": failures.attempts,
        "given_up": failures.given_up,
        "status": failures.status,
        "error_kind": failures.error_kind,
    }


def _event(name: str, subject: Subject, said: dict[str, Json]) -> Event:
    url = urlsplit(subject.url)._replace(query="", fragment="").geturl()  # a query may hold a credential
    return new_event(
        type=name,
        organization_id=subject.organization_id,
        data={"subscription_id": subject.id, "url": url, **said},
        key=subject.id,
    )
