"""Events of unknown types and with data that breaks its schema are found out, and nothing else waits for it."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from processors.event_types import EventChecks
from schemas.catalogue import Catalogue, UnknownEventType, defined
from schemas.errors import InvalidInput
from schemas.ids import OrganizationId
from schemas.records import Event, EventTypeDefinition
from tests.processors import made

ORG = OrganizationId("org_1")
ID = {"name": "id", "type": "string"}
SIZE = {"name": "size", "type": ["null", "int"], "default": None}


def definition(*fields: Any, version: int = 1, state: str = "active") -> EventTypeDefinition:
    return EventTypeDefinition(
        organization_id=ORG,
        name="order.shipped",
        version=version,
        state=state,
        category="order",
        description="An order left.",
        owner="Logistics",
        schema=json.dumps({"type": "record", "name": "shipped", "fields": [*fields]}),
        example='{"id": "x"}',
        updated_at=datetime(2026, 11, 21, tzinfo=UTC),
    )


class Topic:
    """What the follower has not read yet; it is read when `read` is called, as `caught_up` asks."""

    def __init__(self, *unread: EventTypeDefinition) -> None:
        self.catalogue = Catalogue()
        self.unread = [*unread]
        self.asked: list[asyncio.Future[None]] = []

    def caught_up(self) -> asyncio.Future[None]:
        self.asked.append(asyncio.get_running_loop().create_future())
        return self.asked[-1]

    def read(self) -> None:
        for each in self.unread:
            self.catalogue.put(defined(each))
        asked, self.asked = self.asked, []
        for future in asked:
            future.set_result(None)

    def caught_up_at_once(self) -> asyncio.Future[None]:
        future = self.caught_up()
        self.read()
        return future


def event(data: Any, *, name: str = "order.shipped", organization: OrganizationId = ORG) -> Event:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return replace(made.event(organization=organization, data=raw), type=name)


async def test_what_is_known_and_fits_is_not_asked_about() -> None:
    topic = Topic()
    topic.catalogue.put(defined(definition(ID, state="archived")))  # what was on its way is delivered
    checks = EventChecks(topic.catalogue, topic.caught_up)
    await checks.check(event({"id": "x"}))
    await checks.check(event({"id": "x", "password": "y"}))  # removed before anything leaves
    await checks.check(event({"id": "u1"}, name="user.created"))
    assert topic.asked == []


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        (event({}), "/data/id"),
        (event({"id": "x", "more": 1}), "/data/more"),
        (event(b"{"), "/data"),
        (event([]), "/data"),
        (event({"id": 1}, name="user.created"), "/data/id"),
        (event({"id": "x"}, name="order.unknown"), "/type"),
        (event({"id": "x"}, organization=OrganizationId("org_2")), "/type"),
    ],
)
async def test_what_is_wrong_is_said_with_where(wrong: Event, pointer: str) -> None:
    topic = Topic(definition(ID))
    with pytest.raises(InvalidInput) as caught:
        await EventChecks(topic.catalogue, topic.caught_up_at_once).check(wrong)
    assert caught.value.pointer == pointer


@pytest.mark.parametrize(
    ("known", "data"), [((), {"id": "x"}), ((definition(ID),), {"id": "x", "size": 3})], ids=["type", "version"]
)
async def test_a_catalogue_that_lags_behind_is_read_first(known: tuple[EventTypeDefinition, ...], data: Any) -> None:
    topic = Topic(definition(ID, SIZE, version=2))
    for each in known:
        topic.catalogue.put(defined(each))
    await EventChecks(topic.catalogue, topic.caught_up_at_once).check(event(data))
    assert topic.catalogue.of("order.shipped", ORG).version == 2


async def test_an_own_type_of_a_name_that_became_built_in_is_followed_as_any_other() -> None:
    def own(*fields: Any, version: int) -> EventTypeDefinition:
        return replace(definition(*fields, version=version), name="badge.earned")

    topic = Topic(own(ID, SIZE, version=2))
    topic.catalogue.put(defined(own(ID, version=1)))
    checks = EventChecks(topic.catalogue, topic.caught_up_at_once)
    await checks.check(event({"id": "x", "size": 3}, name="badge.earned"))
    with pytest.raises(InvalidInput):
        await checks.check(event({"id": "x"}, name="badge.earned", organization=OrganizationId("org_2")))


async def test_what_an_organization_published_later_does_not_overtake_and_others_do_not_wait() -> None:
    topic = Topic(definition(ID))
    checks = EventChecks(topic.catalogue, topic.caught_up)
    done: list[str] = []

    async def check(name: str, organization: OrganizationId = ORG) -> None:
        try:
            await checks.check(event({"id": "x"}, name=name, organization=organization))
        except UnknownEventType:
            done.append(f"not {name}")
        else:
            done.append(name)

    names = ["order.shipped", "user.created", "order.lost", "user.created"]
    tasks = [asyncio.create_task(check(name)) for name in names]
    await check("user.created", OrganizationId("org_2"))
    await asyncio.sleep(0)
    assert done == ["user.created"]  # the other organization's
    topic.read()
    async with asyncio.timeout(30):
        while not topic.asked:  # noqa: ASYNC110 - the loop turns until the next one asks
            await asyncio.sleep(0)
        topic.read()
        await asyncio.gather(*tasks)
    assert done[1:] == ["order.shipped", "user.created", "not order.lost", "user.created"]
    await check("user.created")
    assert topic.asked == []  # nobody is held up any more


async def test_a_flood_of_what_is_wrong_asks_once_for_many() -> None:
    topic = Topic()
    checks = EventChecks(topic.catalogue, topic.caught_up)
    tasks = [asyncio.create_task(checks.check(event({}, name="order.unknown"))) for _ in range(100)]
    asked = 0
    async with asyncio.timeout(30):
        while not all(task.done() for task in tasks):
            await asyncio.sleep(0)
            asked += len(topic.asked)
            topic.read()
    assert all(isinstance(task.exception(), UnknownEventType) for task in tasks)
    assert asked == 2  # the first one's, and one that was asked when all others had come
