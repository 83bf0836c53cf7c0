"""Ids with a prefix that says what they name, time-ordered so that the day's partition can be read from them.

An id is the prefix, an underscore and a UUID as 32 lower-case hexadecimal digits. Events, attempts and subscriptions
are UUIDv7 (RFC 9562, 5.7). A delivery's id is derived: the event's time, and a hash of what it connects.
"""

import hashlib
import re
from datetime import UTC, datetime, timedelta
from typing import Final, NewType

import uuid_utils

EventId = NewType("EventId", str)
DeliveryId = NewType("DeliveryId", str)
AttemptId = NewType("AttemptId", str)
SubscriptionId = NewType("SubscriptionId", str)
OrganizationId = NewType("OrganizationId", str)
ReplayId = NewType("ReplayId", str)
QuarantineId = NewType("QuarantineId", str)

_TIME_ORDERED: Final = re.compile(r"[a-z]{2,4}_[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}")
_ORGANIZATION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}")
_LAST_TIME: Final = "e677d21fdbff"  # 9999-12-31T23:59:59.999Z; 48 bits go on to 10889
_LAST_TIME_MS: Final = int(_LAST_TIME, 16)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
FILED_BEFORE: Final = timedelta(days=7)  # an outbox may have waited that long for Kafka
FILED_AFTER: Final = timedelta(days=1)
# An event that is read from its JSON and written anew is filed by the time of that second record, which is later the
# longer the worker was away: what its id says must not need the clamp of `filed_at` then.
_NAMED_BEFORE: Final = timedelta(days=3)
_DAY_MS: Final = 24 * 3600 * 1000
_HASHED_BITS: Final = 74  # what UUIDv7 leaves beside 48 bits of time, the version and the variant


def new_event_id() -> EventId:
    """Return a fresh `evt_…`, ordered by the millisecond it was made in."""
    return EventId(f"evt_{uuid_utils.uuid7().hex}")


def new_attempt_id() -> AttemptId:
    """Return a fresh `att_…`; each HTTP request has its own, also when a delivery is sent twice."""
    return AttemptId(f"att_{uuid_utils.uuid7().hex}")


def new_subscription_id() -> SubscriptionId:
    """Return a fresh `sub_…`."""
    return SubscriptionId(f"sub_{uuid_utils.uuid7().hex}")


def new_replay_id() -> ReplayId:
    """Return a fresh `rpl_…`, the round of what it sends: later replays have greater ids, and "0" is before all."""
    return ReplayId(f"rpl_{uuid_utils.uuid7().hex}")


def new_organization_id() -> OrganizationId:
    """Return a fresh `org_…`; an organization may be made under another system's id too (`is_organization_id`)."""
    return OrganizationId(f"org_{uuid_utils.uuid7().hex}")


def new_invitation_id() -> str:
    """Return a fresh `inv_…`."""
    return f"inv_{uuid_utils.uuid7().hex}"


def new_role_id() -> str:
    """Return a fresh `rol_…`; built-in roles go by their names (`api/permissions.py`)."""
    return f"rol_{uuid_utils.uuid7().hex}"


def quarantine_id_of(topic: str, partition: int, offset: int, at: datetime) -> QuarantineId:
    """Return the `qtn_…` of the record at a place in the log, written there at `at`; reading it twice gives the same.

    A UUIDv7's shape like a delivery's: the time, and a hash of the place.
    """
    return QuarantineId(f"qtn_{_derived(_milliseconds(at), f'{topic}/{partition}/{offset}'):032x}")


def delivery_id_of(
    event_id: EventId, subscription_id: SubscriptionId, *, appended_at: datetime | None = None
) -> DeliveryId:
    """Return the `dlv_…` of one event owed to one subscription; routing an event twice gives the same id.

    It has a UUIDv7's shape: the 48 bits of time are those under which the event is filed (`filed_at`; None: the event's
    own), so that both fall on the same day's partition, the 74 bits that are random in RFC 9562 are the start of
    SHA-256 over both ids.
    """
    at = made_at(event_id) if appended_at is None else filed_at(event_id, appended_at)
    return DeliveryId(f"dlv_{_derived(_milliseconds(at), f'{event_id}/{subscription_id}'):032x}")


def event_id_of(
    organization_id: str, source: str, source_id: str, *, said_at: datetime | None, appended_at: datetime
) -> EventId:
    """Return the `evt_…` of what a service calls `source_id`: the same whenever it is read, or sent again.

    It has a UUIDv7's shape: 48 bits of time, then the start of SHA-256 over organization, source and id. The time is
    `said_at`, the event's own, when that is at most 3 days before the broker appended the record or a day after it;
    else, and for None, the beginning of the UTC day on which the broker appended it. So an event without a usable time
    that is sent on both sides of midnight has two ids.
    """
    if said_at is not None and -_NAMED_BEFORE <= said_at - appended_at <= FILED_AFTER:
        time_ms = _milliseconds(said_at)
    else:
        appended_ms = _milliseconds(appended_at)
        time_ms = appended_ms - appended_ms % _DAY_MS
    named = f"{organization_id}\x00{source}\x00{source_id}"  # none of them holds NUL
    return EventId(f"evt_{_derived(time_ms, named):032x}")


def filed_at(identifier: str, appended_at: datetime) -> datetime:
    """Return the time, to the millisecond, under which the log files what has this id: normally the id's own.

    A clock that is wrong must not put a row where no day's table is: when the id's time is over 7 days before the
    broker appended the record, or over a day after it, the broker's time is taken.
    """
    made = made_at(identifier)
    if -FILED_BEFORE <= made - appended_at <= FILED_AFTER:
        return made
    return _EPOCH + timedelta(milliseconds=_milliseconds(appended_at))


def append_time_of(timestamp_ms: int) -> datetime:
    """Return when a record was appended, from its Kafka timestamp in milliseconds since 1970.

    A topic that is not stamped by the broker has whatever a client wrote, -1 for nothing: what no datetime holds
    becomes the nearest that one does, so that all who read the record file it under the same time.
    """
    return _EPOCH + timedelta(milliseconds=min(max(timestamp_ms, 0), _LAST_TIME_MS))


def _milliseconds(moment: datetime) -> int:
    return max((moment - _EPOCH) // timedelta(milliseconds=1), 0)


def _derived(time_ms: int, text: str) -> int:
    digest = hashlib.sha256(text.encode()).digest()
    hashed = int.from_bytes(digest[:10], "big") >> (80 - _HASHED_BITS)
    return time_ms << 80 | 7 << 76 | (hashed >> 62) << 64 | 0b10 << 62 | hashed & (1 << 62) - 1


def is_time_ordered(text: str, prefix: str) -> bool:
    """Return whether `text` is `prefix_` and a UUIDv7 as this module writes them, of a time that a datetime holds."""
    if not text.startswith(f"{prefix}_") or _TIME_ORDERED.fullmatch(text) is None:
        return False
    return text[len(prefix) + 1 :][:12] <= _LAST_TIME


def made_at(identifier: str) -> datetime:
    """Return the UTC time, to the millisecond, that a time-ordered id carries."""
    # Whole numbers all the way: a float of seconds is a microsecond off from 2370 on.
    return _EPOCH + timedelta(milliseconds=int(identifier.rpartition("_")[2][:12], 16))


def times_beginning_with(beginning: str) -> tuple[datetime, datetime]:
    """Return the first time that ids with this beginning carry, and the first one after them.

    `beginning` is a prefix, an underscore and any number of digits. Both are within what a datetime holds.
    """
    digits = beginning.rpartition("_")[2][:12]
    first, last = int(digits.ljust(12, "0"), 16), int(digits.ljust(12, "f"), 16)
    latest = int(_LAST_TIME, 16)
    return _EPOCH + timedelta(milliseconds=min(first, latest)), _EPOCH + timedelta(milliseconds=min(last + 1, latest))


def is_organization_id(text: str) -> bool:
    """Return whether `text` may name an organization: 1–100 letters, digits and `._:-`, as other systems' ids are."""
    return _ORGANIZATION.fullmatch(text) is not None
