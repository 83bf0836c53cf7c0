"""Every change of an own event type is an event in the transaction that made it, and an entry of the audit log."""

from collections.abc import Callable, Coroutine
from typing import Any

import asyncpg
import httpx
import pytest
import pytest_asyncio

from tests.api.event_types.defining import CARRIER, PATH, STRING, body, define, schema
from tests.api.members.acting import events_of
from tests.api.problem import problem_of

pytestmark = pytest.mark.postgres

TOLD = [f"event_type.{verb}" for verb in (
    "defined", "updated", "released", "deprecated", "archived", "reactivated", "deleted",
)]  # fmt: skip
Told = Callable[[], Coroutine[Any, Any, list[tuple[str, dict[str, Any], Any]]]]


@pytest_asyncio.fixture
async def told(api: httpx.AsyncClient, shared_url: str) -> Told:
    """Return what tells which events there were since it was asked before, each as verb, data and previous."""
    seen = 0

    async def since() -> list[tuple[str, dict[str, Any], Any]]:
        nonlocal seen
        found = await events_of(shared_url, api.headers["Hookline-Organization"], *TOLD)
        new, seen = found[seen:], len(found)
        return [(each["type"].partition(".")[2], each["data"], each["previous"]) for each in new]

    return since


async def test_defining_one_tells_of_it_and_of_its_first_version(api: httpx.AsyncClient, told: Told) -> None:
    made = await define(api, owner="Logistics", ordering_key="order_id")
    is_it = {
        "name": made["name"],
        "version": 1,
        "state": "active",
        "category": "order",
        "owner": "Logistics",
    }
    words = {"description": "An order left.", "ordering_key": "order_id"}
    assert await told() == [
        ("defined", {**is_it, **words, "defined_by": "administrator"}, None),
        ("released", {**is_it, "released_by": "administrator"}, None),
    ]


@pytest.mark.parametrize(
    ("patch", "said"),
    [
        ({"description": "It went."}, [("updated", {"changed": ["description"]}, {"description": "An order left."})]),
        ({"schema": schema(STRING, CARRIER)}, [("released", {"version": 2}, {"version": 1})]),
        ({"state": "deprecated"}, [("deprecated", {"state": "deprecated"}, {"state": "active"})]),
        ({"example": {"order_id": "ord_2"}}, [("updated", {"changed": ["example"]}, None)]),
        (
            {"schema": schema(STRING, CARRIER), "ordering_key": "order_id", "state": "deprecated"},
            [
                ("updated", {"changed": ["ordering_key"], "ordering_key": "order_id"}, {"ordering_key": None}),
                ("released", {"version": 2}, {"version": 1}),
                ("deprecated", {"deprecated_by": "administrator"}, {"state": "active"}),
            ],
        ),
        ({"description": "An order left."}, []),  # as it was
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
async def test_a_change_is_told_as_what_happened_with_what_was_before(
    api: httpx.AsyncClient, told: Told, patch: dict[str, Any], said: list[tuple[str, dict[str, Any], Any]]
) -> None:
    made = await define(api)
    await told()
    assert (await api.patch(f"{PATH}/{made['name']}", json=patch)).status_code == 200
    found = await told()
    assert [(verb, previous) for verb, _, previous in found] == [(verb, previous) for verb, _, previous in said]
    for (_, data, _), (_, expected, _) in zip(found, said, strict=True):
        assert data["name"] == made["name"]
        assert expected.items() <= data.items()


async def test_states_are_told_and_a_draft_is_released_when_it_becomes_active(
    api: httpx.AsyncClient, told: Told
) -> None:
    url = f"{PATH}/{(await define(api, state='draft'))['name']}"
    assert [verb for verb, _, _ in await told()] == ["defined"]
    await api.patch(url, json={"schema": schema(STRING, CARRIER)})
    assert [(verb, data["changed"]) for verb, data, _ in await told()] == [("updated", ["schema"])]
    for state in ("active", "deprecated", "archived", "active", "deprecated", "active"):
        assert (await api.patch(url, json={"state": state})).status_code == 200
    assert [(verb, data["state"], previous["state"]) for verb, data, previous in await told()] == [
        ("released", "active", "draft"),
        ("deprecated", "deprecated", "active"),
        ("archived", "archived", "deprecated"),
        ("reactivated", "active", "archived"),
        ("deprecated", "deprecated", "active"),
        ("reactivated", "active", "deprecated"),
    ]


async def test_a_draft_that_is_deleted_is_told_and_what_is_refused_is_not(api: httpx.AsyncClient, told: Told) -> None:
    url = f"{PATH}/{(await define(api, state='draft'))['name']}"
    await told()
    assert (await api.patch(url, json={"state": "archived"})).status_code == 409
    assert (await api.post(PATH, json=body(example={}))).status_code == 422
    assert await told() == []
    assert (await api.delete(url)).status_code == 204
    assert [(verb, data["deleted_by"]) for verb, data, _ in await told()] == [("deleted", "administrator")]


async def test_a_type_its_event_and_its_entry_are_there_together_or_not_at_all(
    api: httpx.AsyncClient, told: Told, shared_url: str
) -> None:
    organization_id = api.headers["Hookline-Organization"]
    db = await asyncpg.connect(shared_url)
    full = f"CHECK (organization_id <> '{organization_id}') NOT VALID"
    await db.execute(f"ALTER TABLE audit_log ADD CONSTRAINT no_types {full}")
    try:
        problem_of(await api.post(PATH, json=body()), 500)
    finally:
        await db.execute("ALTER TABLE audit_log DROP CONSTRAINT no_types")
        await db.close()
    assert await told() == []
    assert [each for each in (await api.get(PATH)).json()["data"] if not each["built_in"]] == []


async def test_the_audit_log_says_who_changed_which_and_what_it_was(api: httpx.AsyncClient) -> None:
    name = (await define(api, state="draft"))["name"]
    await api.patch(f"{PATH}/{name}", json={"description": "It went.", "schema": schema(STRING, CARRIER)})
    await api.delete(f"{PATH}/{name}")
    entries = (await api.get("/api/v1/audit", params={"target_id": name})).json()["data"]
    assert [(each["action"], each["target_kind"], each["changes"]) for each in reversed(entries)] == [
        ("create_event_type", "event-types", None),
        ("change_event_type", "event-types", {"description": "An order left.", "version": 1}),
        ("delete_event_type", "event-types", {"description": "It went.", "version": 1}),
    ]
    assert {each["actor"]["name"] for each in entries} == {"administrator"}
