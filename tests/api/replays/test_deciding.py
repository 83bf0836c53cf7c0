"""What is done with an item when its turn comes."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from api.replays.deciding import Logged, Turn, Version, decided, is_being_sent
from api.replays.tables import Transformation
from schemas.ids import DeliveryId, EventId, OrganizationId, ReplayId, SubscriptionId
from schemas.payloads import PayloadSource, payload_of
from schemas.records import Delivery, Position
from schemas.topics import EVENTS

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
ASKED_AT = NOW - timedelta(minutes=1)
LOGGED = Logged(
    organization_id=OrganizationId("org_1"),
    subscription_id=SubscriptionId("sub_1"),
    event_id=EventId("evt_1"),
    event_type="user.created",
    state="failed",
    round="0",
    created_at=NOW - timedelta(days=2),
    due_at=NOW - timedelta(days=1),
    last_attempt_at=NOW - timedelta(days=1),
    key="u1",
    sequence=17,
    transformation_version=2,
    event_partition=3,
    event_offset=17,
    traceparent="00-1-2-01",
    body=b"{}",
)
TURN = Turn(
    replay_id=ReplayId("rpl_2"),
    delivery_id=DeliveryId("dlv_1"),
    asked_at=ASKED_AT,
    logged=LOGGED,
    subscription_version=5,
    subscription_enabled=True,
    original=Version(2, None),
    current=Version(3, '{"shape":"thin"}'),
    wanted=Transformation.ORIGINAL,
)
LATER, SOON, LONG_AGO = NOW + timedelta(hours=1), NOW + timedelta(seconds=0.5), NOW - timedelta(hours=1)


def test_it_is_sent_as_it_was_in_a_round_of_the_replays_own() -> None:
    decision = decided(TURN, now=NOW)
    assert (decision.state, decision.detail, decision.takes_over) == ("sent", None, False)
    assert decision.delivery == Delivery(
        id=DeliveryId("dlv_1"),
        event_id=EventId("evt_1"),
        event_type="user.created",
        organization_id=OrganizationId("org_1"),
        subscription_id=SubscriptionId("sub_1"),
        subscription_version=5,
        body=b"{}",
        event_position=Position(topic=EVENTS, partition=3, offset=17),
        event_created_at=LOGGED.created_at,
        due_at=NOW,
        attempt=1,
        round="rpl_2",
        key="u1",
        sequence=17,
        transformation_version=2,
        traceparent="00-1-2-01",
    )


FULL_BODY = orjson.dumps(
    {
        "id": "evt_1",
        "type": "user.created",
        "created_at": "2026-11-19T12:00:00Z",
        "organization_id": "org_1",
        "data": {"id": "u1"},
        "previous": None,
        "metadata": {},
    }
)
SHAPES = {0: None, 2: '{"shape":"timestamp"}', 3: '{"shape":"thin"}'}


@pytest.mark.parametrize(
    ("wanted", "original", "version"),
    [
        ("original", 2, 2),
        ("original", 0, 0),
        ("original", None, 3),  # it was held without a body, or nobody keeps the version: as it would be sent now
        ("current", 2, 3),
        ("current", 0, 3),
        ("current", None, 3),
    ],
)
def test_its_body_is_the_original_one_or_todays(wanted: str, original: int | None, version: int) -> None:
    turn = replace(
        TURN,
        logged=replace(LOGGED, body=FULL_BODY),
        original=None if original is None else Version(original, SHAPES[original]),
        wanted=Transformation(wanted),
    )
    delivery = decided(turn, now=NOW).delivery
    assert delivery is not None
    assert delivery.transformation_version == version
    source = PayloadSource.stored(FULL_BODY, None)
    assert delivery.body == payload_of(SHAPES[version]).body(source, delivery_id=DeliveryId("dlv_1"))
    assert (delivery.body == FULL_BODY) == (version == 0)


def test_what_no_body_can_be_made_of_is_skipped() -> None:
    decision = decided(replace(TURN, wanted=Transformation.CURRENT), now=NOW)  # {} is no event's
    assert (decision.state, decision.delivery) == ("skipped", None)
    assert "no body can be made" in str(decision.detail)


@pytest.mark.parametrize(
    ("logged", "others", "state", "detail"),
    [
        (None, {}, "skipped", "the log does not keep"),
        ({"body": None}, {}, "skipped", "the log does not keep"),
        ({}, {"subscription_version": None, "subscription_enabled": False}, "skipped", "deleted"),
        ({}, {"subscription_enabled": False}, "held", "disabled"),
        ({"state": "retrying", "due_at": LONG_AGO}, {}, "skipped", "due first"),
        ({"state": "retrying", "due_at": SOON}, {}, "skipped", "due first"),
        ({"state": "pending"}, {}, "skipped", "due first"),
        ({"state": "success", "last_attempt_at": NOW}, {}, "skipped", "delivered meanwhile"),
        # Asked for later and through before: workers and the log go by the latest round alone.
        ({"state": "failed", "round": "rpl_3"}, {}, "skipped", "rpl_3 was asked for later and has sent it"),
    ],
)
def test_it_is_not_sent(logged: dict[str, object] | None, others: dict[str, object], state: str, detail: str) -> None:
    found = None if logged is None else replace(LOGGED, **logged)  # type: ignore[arg-type] # the table's rows differ
    decision = decided(replace(TURN, logged=found, **others), now=NOW)  # type: ignore[arg-type]
    assert decision.delivery is None
    assert decision.state == state
    assert detail in str(decision.detail)


def test_it_is_marked_and_not_sent_when_the_log_has_its_round_already() -> None:
    turn = replace(TURN, logged=replace(LOGGED, state="retrying", round="rpl_2", due_at=LONG_AGO))
    decision = decided(turn, now=NOW)
    assert (decision.state, decision.delivery) == ("sent", None)


@pytest.mark.parametrize("state", ["failed", "held", "success"])
def test_what_had_ended_before_somebody_asked_is_sent(state: str) -> None:
    assert decided(replace(TURN, logged=replace(LOGGED, state=state)), now=NOW).delivery is not None


def test_one_that_waits_is_taken_over() -> None:
    decision = decided(replace(TURN, logged=replace(LOGGED, state="retrying", due_at=LATER)), now=NOW)
    assert decision.takes_over
    assert decision.delivery is not None


@pytest.mark.parametrize(
    ("state", "due_at", "is_it"),
    [
        ("pending", LATER, True),
        ("retrying", LATER, False),
        ("retrying", SOON, True),
        ("retrying", LONG_AGO, True),
        ("failed", LONG_AGO, False),
        ("held", LONG_AGO, False),
        ("success", LONG_AGO, False),
    ],
)
def test_what_is_being_sent(state: str, due_at: datetime, is_it: bool) -> None:
    assert is_being_sent(state, due_at, now=NOW) is is_it
