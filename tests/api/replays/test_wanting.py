"""Who gets a past event: as routing would decide today, and narrowed by what the replay was asked for."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from api.replays.log_reading import PastEvent
from api.replays.tables import ReplayRow
from api.replays.wanting import Wanting
from schemas.ids import EventId, OrganizationId, SubscriptionId
from schemas.records import Event, Subscription

NOW = datetime(2026, 11, 21, tzinfo=UTC)
SUBSCRIPTION = Subscription(
    id=SubscriptionId("sub_1"),
    organization_id=OrganizationId("org_1"),
    version=1,
    url="https://example.com",
    event_types=("*",),
    secrets=(),
    enabled=True,
    timeout_ms=1000,
    updated_at=NOW,
)


def past(type_: str = "user.created", **data: Any) -> PastEvent:
    event = Event(
        id=EventId("evt_019a9f2b6c7d7f0e8d9c0b1a2f3e4d5c"),
        type=type_,
        organization_id=OrganizationId("org_1"),
        created_at=NOW,
        data=orjson.dumps({"id": "u1", **data}),
        key="u1",
    )
    return PastEvent(event=event, at=NOW, partition=0, offset=1, traceparent=None)


BROKEN = replace(past(), event=replace(past().event, data=b"[1]"))  # another client's: no JSON object


GUESSED = past("user.password_reset_requested", reset_link="1234")  # another client's, which masks nothing


def wanting(*subscriptions: dict[str, Any], **asked: Any) -> Wanting:
    found = Wanting(ReplayRow(organization_id="org_1", **asked))
    found.put(
        [
            replace(SUBSCRIPTION, id=SubscriptionId(f"sub_{number}"), **fields)
            for number, fields in enumerate(subscriptions, 1)
        ]
    )
    return found


@pytest.mark.parametrize(
    ("subscriptions", "asked", "event", "gets"),
    [
        ([{}, {"event_types": ("user.*",)}, {"event_types": ("user.deleted",)}], {}, past(), ["sub_1", "sub_2"]),
        ([{"event_types": ("user.*", "*", "user.created")}], {}, past(), ["sub_1"]),  # once
        ([{"enabled": False}], {}, past(), ["sub_1"]),  # held, which is said item by item
        ([{"paused": True}], {}, past(), ["sub_1"]),  # waits like anything else
        ([{}], {"event_types": ["quest.*"]}, past(), []),
        ([{}], {"event_types": ["user.**", "quest.*"]}, past(), ["sub_1"]),
        ([{}], {"filters": '[{"exact":{"subject":"u2"}}]'}, past(), []),
        ([{"filters": '[{"cel":"data.plan == \\"pro\\""}]'}, {}], {}, past(plan="pro"), ["sub_1", "sub_2"]),
        ([{"filters": '[{"cel":"data.plan == \\"pro\\""}]'}, {}], {}, past(plan="free"), ["sub_2"]),
        ([{"filters": '[{"cel":"data.plan == \\"pro\\""}]'}, {}], {}, past(), ["sub_2"]),  # it fails: no match
        ([{}, {}], {}, past("subscription.disabled", subscription_id="sub_1"), ["sub_2"]),
        ([{"filters": '[{"cel":"data.plan == \\"pro\\""}]'}, {}], {}, BROKEN, ["sub_2"]),
        ([{"filters": '[{"cel":"data.reset_link == \\"1234\\""}]'}], {}, GUESSED, []),  # marked secret
        ([{"filters": '[{"cel":"data.reset_link == \\"***\\""}]'}], {}, GUESSED, ["sub_1"]),
        ([], {}, past(), []),
    ],
)
def test_who_gets_it(
    subscriptions: list[dict[str, Any]], asked: dict[str, Any], event: PastEvent, gets: list[str]
) -> None:
    assert [each.id for each in wanting(*subscriptions, **asked).wanting(event)] == gets


def test_one_that_was_named_and_is_gone_leaves_nobody() -> None:
    assert wanting(subscription_id="sub_1").is_nobody_left
    assert not wanting().is_nobody_left  # of an organization, others may come
