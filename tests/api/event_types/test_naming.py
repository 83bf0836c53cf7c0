"""Names that Hookline keeps to itself, and own types that were there before a built-in one of their name."""

import asyncio

import asyncpg
import httpx
import pytest
import pytest_asyncio

from api.errors import Conflict
from api.event_types.naming import TAKEN, check_first_word, check_not_built_in
from schemas.catalogue import catalogue
from schemas.errors import InvalidInput
from tests.api.event_types.defining import CARRIER, PATH, STRING, body, define, schema

pytestmark = pytest.mark.postgres

BUILT_IN = "task.completed"
COLUMNS = {
    "event_types": "revision, version, state, category, description, owner, ordering_key, schema, accepts, example, "
    "created_at, updated_at",
    "event_type_versions": "version, schema, example, created_at",
}


@pytest.mark.parametrize("name", catalogue())
def test_no_built_in_name_and_nothing_that_begins_as_one_can_be_defined(name: str) -> None:
    with pytest.raises(Conflict, match="is a built-in event type"):
        check_not_built_in(name)
    later = f"{name.partition('.')[0]}.of_a_later_release"
    with pytest.raises(InvalidInput, match=f"such as our_{later}") as caught:
        check_first_word(later)
    assert caught.value.pointer == "/name"
    check_first_word(f"our_{later}")


def test_what_is_taken_stays_taken() -> None:
    """A first word that was free once would make room for own types which a later built-in one meets."""
    assert {
        "api_token", "application", "auth", "badge", "certificate", "connection", "consent", "dns", "event_type",
        "grade", "hookline", "job", "member", "mfa", "organization", "quest", "role", "sso", "subscription", "task",
        "user",
    } <= TAKEN  # fmt: skip


@pytest_asyncio.fixture
async def older(api: httpx.AsyncClient, shared_url: str) -> str:
    """Return the path of an own type whose name is built in: it was defined when no built-in type began so."""
    organization_id = api.headers["Hookline-Organization"]
    name = (await define(api, schema=schema(STRING, CARRIER)))["name"]
    db = await asyncpg.connect(shared_url)
    async with db.transaction():
        for table, columns in COLUMNS.items():
            await db.execute(
                f"INSERT INTO {table} (organization_id, name, {columns}) SELECT organization_id, $3, {columns}"
                f" FROM {table} WHERE organization_id = $1 AND name = $2",
                organization_id,
                name,
                BUILT_IN,
            )
        await db.execute("SELECT pg_notify('hookline_event_types', $1)", organization_id)
    await db.close()
    return f"{PATH}/{BUILT_IN}"


async def test_an_own_type_that_was_there_before_a_built_in_one_goes_on(api: httpx.AsyncClient, older: str) -> None:
    async with asyncio.timeout(30):
        while (await api.get(older)).json()["built_in"]:  # noqa: ASYNC110 - the catalogue has no event for it
            await asyncio.sleep(0.02)
    assert [each["version"] for each in (await api.get(f"{older}/versions")).json()["data"]] == [1]
    changed = await api.patch(older, json={"schema": schema(STRING)})
    assert (changed.status_code, changed.json()["version"]) == (200, 2), changed.text
    listed = [each for each in (await api.get(PATH)).json()["data"] if each["name"] == BUILT_IN]
    assert [(each["built_in"], each["version"]) for each in listed] == [(False, 2)]
    for state in ("deprecated", "archived"):
        assert (await api.patch(older, json={"state": state})).json()["state"] == state
    major = await define(api, name=f"{BUILT_IN}.v2")  # what the API itself advises when a schema would break others
    assert major["name"] == f"{BUILT_IN}.v2"
    assert (await api.post(PATH, json=body(name="task.of_another_kind"))).status_code == 422
    elsewhere = await api.get(older, headers={"Hookline-Organization": "org_elsewhere"})
    assert elsewhere.json()["built_in"] is True
