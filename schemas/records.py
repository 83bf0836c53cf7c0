"""The records on the topics, one class each; their Avro schemas are the files of the same name in `schemas/avro/`.

Fields are added, never renamed or removed (FULL_TRANSITIVE, held by a test): records of last week are still on the
topics. Times are aware datetimes in UTC, to the microsecond. What changes while a delivery waits (URL, secret, headers,
state) is not in it: it is looked up when it is sent.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, TypeVar, dataclass_transform

from schemas.ids import AttemptId, DeliveryId, EventId, OrganizationId, SubscriptionId

FIRST_ROUND = "0"
NEVER_SHAPED: Final = -1  # transformation_version of what was held when it was routed: it never had a body

C = TypeVar("C")


@dataclass_transform(kw_only_default=True, frozen_default=True)
def record(plain: type[C]) -> type[C]:
    """Make a dataclass of a record, with keywords only.

    It is frozen for mypy alone: `dataclass(frozen=True)` sets each field through `object.__setattr__`, which makes a
    record take three times as long to make (an event 1.9 µs of 14, docs/performance.md).
    """
    return dataclass(slots=True, kw_only=True, unsafe_hash=True)(plain)


class AttemptState(StrEnum):
    """What an attempt left its delivery in."""

    SUCCESS = "success"
    RETRYING = "retrying"
    FAILED = "failed"
    HELD = "held"


class Ordering(StrEnum):
    """Which deliveries of a subscription arrive in the order of the log."""

    NONE = "none"
    PER_KEY = "per_key"
    STRICT = "strict"


class OnExhaustion(StrEnum):
    """What becomes of an ordered delivery whose attempts are used up."""

    DEAD_LETTER = "dead_letter"
    BLOCK = "block"


class SignatureStyle(StrEnum):
    """How a webhook's signature is written (schemas/signing.py)."""

    STANDARD = "standard"
    TIMESTAMPED = "timestamped"
    HEX = "hex"


@record
class Position:
    """Where a record stands in the log."""

    topic: str
    partition: int
    offset: int


NOWHERE: Final = Position(topic="", partition=-1, offset=-1)


@record
class Event:
    """One thing that happened, on `hookline.events`.

    `data`, `previous` and `metadata` are UTF-8 JSON objects; `data` fits the event type's schema. `key` orders events
    that belong together. `source_id` is the id that the publisher brought, if any; `source` is CloudEvents' attribute,
    the URI reference of the service that said it.
    """

    id: EventId
    type: str
    organization_id: OrganizationId
    created_at: datetime
    data: bytes
    key: str | None = None
    previous: bytes | None = None
    metadata: bytes | None = None
    source_id: str | None = None
    source: str | None = None


@record
class PastAttempt:
    """What an earlier attempt of the same round came to; a dead letter's history is a list of them."""

    attempt: int
    started_at: datetime
    duration_ms: int
    error_kind: str | None = None
    status: int | None = None


@record
class Delivery:
    """One event owed to one subscription, with the exact bytes of the body, the same on every attempt.

    `attempt` is the number (from 1, within `round`) of the attempt that comes next, not before `due_at`.
    `round` is "0" for the first sending, a replay's id for a later one. `sequence` orders the deliveries of one key
    (the event's offset: gaps are normal). `is_test` is one attempt for somebody who tries the endpoint: it is sent
    also while the subscription is disabled, and neither retried nor given up; its event stands in no topic, so its
    position is `NOWHERE`.
    """

    id: DeliveryId
    event_id: EventId
    event_type: str
    organization_id: OrganizationId
    subscription_id: SubscriptionId
    subscription_version: int
    body: bytes
    event_position: Position
    event_created_at: datetime
    due_at: datetime
    attempt: int = 1
    round: str = FIRST_ROUND
    schedule_version: str = ""
    key: str | None = None
    sequence: int = 0
    transformation_version: int = 0
    traceparent: str | None = None
    history: tuple[PastAttempt, ...] = ()
    is_test: bool = False


@record
class Attempt:
    """What became of one attempt, on `hookline.attempts`: the outcome record, and all that the log ever learns.

    `source` is the delivery record that was worked off: whoever takes over the partition skips what is finished.
    A `held` outcome made no request (its subscription was disabled) and has no body anywhere: it names the event's
    position, from which it can be replayed. Signature and secret headers are masked before they come here.
    """

    id: AttemptId
    delivery_id: DeliveryId
    event_id: EventId
    event_type: str
    organization_id: OrganizationId
    subscription_id: SubscriptionId
    subscription_version: int
    round: str
    attempt: int
    state: AttemptState
    source: Position | None
    event_position: Position
    event_created_at: datetime
    due_at: datetime
    started_at: datetime
    duration_ms: int
    error_kind: str | None = None
    error: str | None = None
    url: str | None = None
    address: str | None = None
    status: int | None = None
    request_headers: dict[str, str] | None = None
    response_headers: dict[str, str] | None = None
    response_body: bytes | None = None
    response_truncated: bool = False
    body_bytes: int = 0
    next_attempt_at: datetime | None = None
    schedule_version: str = ""
    key: str | None = None
    sequence: int = 0
    transformation_version: int = 0
    worker: str = ""
    traceparent: str | None = None
    is_test: bool = False


@record
class DeadLetter:
    """A delivery given up, on `hookline.dead-letters`: all that it takes to send it again, and why it is here."""

    delivery: Delivery
    reason: str
    died_at: datetime
    error_kind: str | None = None
    status: int | None = None


@record
class Subscription:
    """An integrator's endpoint as the workers need it, on the compacted `hookline.subscriptions` (null: deleted).

    `secrets` are sealed (schemas/sealing.py) and bound to the organization and this id; the first one is the newest,
    all of them sign until their time in `secrets_expire_at` (one for each, None: it never expires; an empty tuple: none
    does). `headers` is the sealed JSON object of the subscriber's own request headers, which may hold
    credentials. While it is `paused` nothing is sent and nothing is lost. At most `rate_limit` deliveries begin in
    `rate_period_s` (1 or 60), and `catch_up_per_s` a second while it is behind; `most_in_flight` 0 means the workers'
    own bound. `on_exhaustion` counts only with an ordering. `allowed_addresses` are CIDR blocks, none meaning any
    public address. The names of headers are the subscriber's own, None the style's own or no such header. `filters` and
    `payload` are JSON, None meaning every event of the types and the full body; `transformation_version` rises with
    each change of `payload`.
    """

    id: SubscriptionId
    organization_id: OrganizationId
    version: int
    url: str
    event_types: tuple[str, ...]
    secrets: tuple[bytes, ...]
    enabled: bool
    timeout_ms: int
    updated_at: datetime
    headers: bytes | None = None
    disabled_reason: str | None = None
    secrets_expire_at: tuple[datetime | None, ...] = ()
    paused: bool = False
    catch_up_per_s: float | None = None
    most_in_flight: int = 0
    rate_limit: int | None = None
    rate_period_s: int = 1
    ordering: Ordering = Ordering.NONE
    on_exhaustion: OnExhaustion = OnExhaustion.DEAD_LETTER
    allowed_addresses: tuple[str, ...] = ()
    signature_style: SignatureStyle = SignatureStyle.STANDARD
    signature_header: str | None = None
    event_type_header: str | None = None
    delivery_id_header: str | None = None
    filters: str | None = None
    payload: str | None = None
    transformation_version: int = 0


@record
class CurrentRound:
    """The round in which a delivery is sent now, on the compacted `hookline.rounds`, keyed by the delivery's id.

    Written before the first record of a round that takes over from one whose retry still waits in a tier: what comes
    out of the tier later, of an earlier round, is not sent any more.
    """

    delivery_id: DeliveryId
    subscription_id: SubscriptionId
    round: str
    since: datetime


@record
class Cursor:
    """Where a subscription stands that is behind, on the compacted `hookline.behind` (null: live again).

    All its deliveries before the offset `next` of `topic`, in the cursor's own partition, are finished; nothing is sent
    before `not_before`. With a `key` it is about the deliveries of that key only (an ordered one that waits for its
    retry); `attempt` and `history` then belong to the delivery at `next`. `reason` is why it is behind, a word for
    people and metrics.
    """

    topic: str
    subscription_id: SubscriptionId
    organization_id: OrganizationId
    next: int
    reason: str
    since: datetime
    key: str | None = None
    not_before: datetime | None = None
    attempt: int = 1
    history: tuple[PastAttempt, ...] = ()


@record
class Claim:
    """Who writes the cursors of a partition of `hookline.behind` from here on: what others write later is ignored.

    `epoch` rises with every claim; of two with one epoch the greater `writer` counts.
    """

    writer: str
    epoch: int
    since: datetime


@record
class EventTypeDefinition:
    """An event type that an organization defined, on the compacted `hookline.event-types` (null: deleted).

    Keyed by `{organization_id}/{name}`. `schema` is the newest version's Avro as JSON text with its marks, `example` a
    JSON object that fits it; earlier versions can be read by it (FULL_TRANSITIVE), so they are not here.
    """

    organization_id: OrganizationId
    name: str
    version: int
    state: str
    category: str
    description: str
    owner: str
    schema: str
    example: str
    updated_at: datetime
    ordering_key: str | None = None


@record
class FilterErrors:
    """How often a subscription's filter failed at run time since the last such record, on `hookline.filter-errors`.

    Keyed by the subscription's id. `error` and `event_id` are those of the last failure.
    """

    subscription_id: SubscriptionId
    organization_id: OrganizationId
    subscription_version: int
    count: int
    error: str
    event_id: EventId
    at: datetime
