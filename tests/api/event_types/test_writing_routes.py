"""Event types of an organization's own: defined, changed within what goes together, kept once released."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
import pytest_asyncio

from schemas.codec import decode
from schemas.records import EventTypeDefinition
from tests.api.conftest import client_of, settings_of
from tests.api.event_types.defining import CARRIER, PATH, STRING, body, define, schema

pytestmark = pytest.mark.postgres


@pytest_asyncio.fixture
async def outbox(shared_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(shared_url)
    yield connection
    await connection.close()


async def told(outbox: asyncpg.Connection, organization_id: str, name: str) -> list[EventTypeDefinition | None]:
    """Return what was told of an event type, in order; None is a tombstone."""
    key = f"{organization_id}/{name}".encode()
    rows = await outbox.fetch("SELECT topic, value FROM outbox WHERE key = $1 ORDER BY id", key)
    assert all(row["topic"] == "hookline.event-types" for row in rows)
    return [None if row["value"] is None else decode(EventTypeDefinition, row["value"]) for row in rows]


async def test_is_defined_and_told_to_workers(api: httpx.AsyncClient, outbox: asyncpg.Connection) -> None:
    given = body(ordering_key="order_id")
    answer = await api.post(PATH, json=given)
    assert answer.status_code == 201, answer.text
    assert answer.headers["Location"] == f"{PATH}/{given['name']}"
    made, organization = answer.json(), api.headers["Hookline-Organization"]
    assert made == {
        **given,
        "category": "order",
        "owner": organization,
        "state": "active",
        "version": 1,
        "built_in": False,
        "reserved": False,
        "personal": [],
        "secret": [],
        "created_at": made["created_at"],
        "updated_at": made["created_at"],
    }
    assert list(made["schema"]) == list(given["schema"])  # as it was written, in its order
    (definition,) = await told(outbox, organization, given["name"])
    assert definition is not None
    assert (definition.version, definition.state, definition.ordering_key) == (1, "active", "order_id")


@pytest.mark.parametrize(
    ("wrong", "status", "pointer", "said"),
    [
        ({"name": "user.created"}, 409, None, "user.created is a built-in event type"),
        ({"name": "hookline.done"}, 422, "/name", "names that begin with hookline. are Hookline's own"),
        ({"name": "subscription.paused"}, 422, "/name", "Hookline's own"),
        ({"name": "user.merged"}, 422, "/name", "choose another resource, such as our_user.merged"),
        ({"name": "Order.Shipped"}, 422, "/name", "must be `resource.verb` in small letters"),
        ({"name": "order"}, 422, "/name", "must be `resource.verb`"),
        ({"schema": {"type": "record"}}, 422, "/schema/name", "must be a name"),
        ({"schema": schema({"name": "x", "type": "bytes"})}, 422, "/schema/fields/0/type", "JSON carries no bytes"),
        ({"example": {}}, 422, "/example/order_id", "is missing"),
        ({"example": {"order_id": "x", "more": 1}}, 422, "/example/more", "no such field"),
        ({"ordering_key": "id"}, 422, "/ordering_key", "must be a field of the schema"),
        ({"state": "archived"}, 422, "/state", "a new event type is a draft or active"),
        ({"state": "done"}, 422, "/state", "Input should be 'draft'"),
        ({"description": " "}, 422, "/description", "must say something"),
        (
            {
                "schema": schema({**STRING, "sensitivity": "secret"}),
                "ordering_key": "order_id",
            },
            422,
            "/ordering_key",
            "must not be a secret field",
        ),
        (
            {
                "schema": schema(STRING, {"name": "at", "type": ["null", "double"], "default": None}),
                "ordering_key": "at",
            },
            422,
            "/ordering_key",
            "must be a field of text or an enum",
        ),
    ],
)
async def test_says_what_is_wrong_and_where(
    api: httpx.AsyncClient, wrong: dict[str, Any], status: int, pointer: str | None, said: str
) -> None:
    answer = await api.post(PATH, json=body(**wrong))
    assert answer.status_code == status, answer.text
    assert said in answer.json()["detail"]
    if pointer is not None:
        assert answer.json()["errors"][0]["pointer"] == pointer


async def test_a_name_is_taken_once_in_an_organization_and_free_in_another(api: httpx.AsyncClient) -> None:
    made = await define(api)
    again = await api.post(PATH, json=body(name=made["name"]))
    assert (again.status_code, "already" in again.json()["detail"]) == (409, True)
    other = {"Hookline-Organization": f"org_{uuid4().hex}"}
    assert (await api.post(PATH, json=body(name=made["name"]), headers=other)).status_code == 201


async def test_a_schema_that_goes_together_is_the_next_version_and_what_it_dropped_is_still_taken(
    api: httpx.AsyncClient, outbox: asyncpg.Connection
) -> None:
    made = await define(api, schema=schema(STRING, CARRIER))
    url, second = f"{PATH}/{made['name']}", schema(STRING, {**CARRIER, "name": "weight"})
    answer = await api.patch(url, json={"schema": second})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["version"], answer.json()["schema"]) == (2, second)
    versions = (await api.get(f"{url}/versions")).json()["data"]
    assert [(each["version"], each["schema"]) for each in versions] == [(2, second), (1, made["schema"])]
    assert (await api.get(f"{url}/versions/1")).json()["schema"] == made["schema"]
    assert (await api.get(f"{url}/versions/3")).status_code == 404
    definition = (await told(outbox, api.headers["Hookline-Organization"], made["name"]))[-1]
    assert definition is not None
    assert '"name":"carrier"' in definition.schema
    assert '"retired":true' in definition.schema


async def test_what_changes_nothing_is_no_version(api: httpx.AsyncClient, outbox: asyncpg.Connection) -> None:
    made = await define(api)
    answer = await api.patch(f"{PATH}/{made['name']}", json={"schema": made["schema"], "owner": made["owner"]})
    assert (answer.status_code, answer.json()) == (200, made)
    assert len(await told(outbox, api.headers["Hookline-Organization"], made["name"])) == 1


async def test_a_breaking_change_is_refused_with_each_field_and_what_to_do(api: httpx.AsyncClient) -> None:
    made = await define(api, schema=schema(STRING, CARRIER))
    url = f"{PATH}/{made['name']}"
    assert (await api.patch(url, json={"schema": schema(STRING)})).status_code == 200
    third = schema({"name": "number", "type": "long"}, {**CARRIER, "type": ["null", "long"]})
    answer = await api.patch(url, json={"schema": third, "example": {"number": 1}})
    assert answer.status_code == 409
    said = answer.json()
    assert [flaw["detail"].partition(":")[0] for flaw in said["errors"]] == [
        "data.number",
        "data.order_id",
        "data.carrier",  # dropped in version 2: it may come back as what it was in version 1
    ]
    assert f"make it a type of its own, such as {made['name']}.v2" in said["detail"]
    kept = (await api.get(f"{url}/versions")).json()["data"]
    assert [each["version"] for each in kept] == [2, 1]


async def test_a_draft_may_change_in_any_way_until_it_is_active(api: httpx.AsyncClient) -> None:
    made = await define(api, state="draft")
    url, second = f"{PATH}/{made['name']}", schema({"name": "number", "type": "long"})
    answer = await api.patch(url, json={"schema": second, "example": {"number": 1}})
    assert (answer.status_code, answer.json()["version"]) == (200, 1)
    assert [each["schema"] for each in (await api.get(f"{url}/versions")).json()["data"]] == [second]
    assert (await api.patch(url, json={"state": "active"})).json()["state"] == "active"
    broken = await api.patch(url, json={"schema": schema(), "example": {"order_id": "x"}})
    assert broken.status_code == 409


async def test_states_follow_each_other_and_only_a_draft_is_deleted(
    api: httpx.AsyncClient, outbox: asyncpg.Connection
) -> None:
    made = await define(api, state="draft")
    url, organization = f"{PATH}/{made['name']}", api.headers["Hookline-Organization"]
    asked = ["deprecated", "active", "draft", "archived", "deprecated", "archived", "deprecated", "active"]
    statuses = [(await api.patch(url, json={"state": state})).status_code for state in asked]
    assert statuses == [409, 200, 409, 409, 200, 200, 409, 200]
    refused = await api.delete(url)
    assert (refused.status_code, "only a draft can be deleted" in refused.json()["detail"]) == (409, True)
    draft = await define(api, state="draft")
    assert (await api.delete(f"{PATH}/{draft['name']}")).status_code == 204
    assert (await api.get(f"{PATH}/{draft['name']}/versions")).status_code == 404
    assert (await told(outbox, organization, draft["name"]))[-1] is None
    assert await define(api, name=draft["name"])  # the name is free again


async def test_if_match_holds_what_somebody_else_changed(api: httpx.AsyncClient) -> None:
    made = await api.post(PATH, json=body())
    url, etag = f"{PATH}/{made.json()['name']}", {"If-Match": made.headers["ETag"]}
    changed = await api.patch(url, json={"description": "Another."}, headers=etag)
    assert changed.status_code == 200
    assert (await api.patch(url, json={"description": "A third."}, headers=etag)).status_code == 412
    assert (await api.delete(url, headers=etag)).status_code == 412
    assert (await api.patch(url, json={}, headers={"If-Match": changed.headers["ETag"]})).status_code == 200


async def test_built_in_types_are_read_only(api: httpx.AsyncClient) -> None:
    url = f"{PATH}/user.created"
    for answer in (await api.patch(url, json={"owner": "us"}), await api.delete(url)):
        assert (answer.status_code, answer.json()["detail"][:35]) == (409, "user.created is built in and cannot")
    assert [each["version"] for each in (await api.get(f"{url}/versions")).json()["data"]] == [1]


async def test_an_organization_defines_so_many(shared_url: str) -> None:
    async with client_of(settings_of(shared_url, most_event_types=1)) as api:
        api.headers["Hookline-Organization"] = f"org_{uuid4().hex}"
        await define(api)
        answer = await api.post(PATH, json=body())
        assert (answer.status_code, "as many as it may" in answer.json()["detail"]) == (409, True)
