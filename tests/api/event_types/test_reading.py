"""The catalogue over REST: everything of every type, by category and state."""

from typing import Any

import httpx
import jsonschema_rs
import pytest

from schemas.catalogue import catalogue
from schemas.releases import released_of
from tests.api.problem import problem_of

pytestmark = pytest.mark.postgres

PATH = "/api/v1/event-types"
LISTED = {
    *("name", "category", "description", "owner", "state", "version", "built_in", "reserved", "ordering_key"),
    *("personal", "secret", "schema", "example"),
}


async def test_it_is_listed_by_name_and_each_shown_with_all_that_is_derived(api: httpx.AsyncClient) -> None:
    page = (await api.get(PATH)).json()
    assert [item["name"] for item in page["data"]] == list(catalogue())
    assert (page["next_cursor"], page["has_more"]) == (None, False)
    for item in page["data"]:
        assert set(item) == LISTED
        shown = (await api.get(f"{PATH}/{item['name']}")).json()
        assert {name: shown.pop(name) for name in LISTED} == item
        assert shown.pop("versions") == [*reversed(released_of(item["name"]))]
        assert shown["webhook"]["data"] == item["example"]
        jsonschema_rs.Draft202012Validator(shown.pop("json_schema")).validate(item["example"])
        assert set(shown) == {"webhook"}


async def test_marks_are_shown_as_paths(api: httpx.AsyncClient) -> None:
    shown = (await api.get(f"{PATH}/user.password_reset_requested")).json()
    assert (shown["personal"], shown["secret"]) == (["/email", "/ip_address"], ["/reset_link"])
    assert (shown["category"], shown["owner"], shown["ordering_key"]) == ("user", "identity", "id")
    assert (shown["built_in"], shown["reserved"], shown["state"], shown["version"]) == (True, False, "active", 1)


@pytest.mark.parametrize(
    ("asked", "count"),
    [
        ({"category": "job_queue"}, 4),
        ({"category": "sso", "state": "active"}, 4),
        ({"category": "sso", "state": "draft"}, 0),
        ({"state": "active"}, len(catalogue())),
    ],
)
async def test_it_is_filtered_by_category_and_state(api: httpx.AsyncClient, asked: dict[str, str], count: int) -> None:
    found = (await api.get(PATH, params=asked)).json()["data"]
    assert len(found) == count
    assert all({name: item[name] for name in asked} == asked for item in found)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"category": "users"}, "application, auth, badge"),
        ({"category": ""}, "application, auth, badge"),
        ({"category": "x" * 101}, "100 characters"),
        ({"state": "done"}, "'draft', 'active', 'deprecated' or 'archived'"),
    ],
)
async def test_what_is_no_category_or_state_is_refused(
    api: httpx.AsyncClient, asked: dict[str, str], said: str
) -> None:
    document = problem_of(await api.get(PATH, params=asked), 422)
    flaws: Any = document["errors"]
    (flaw,) = flaws
    assert flaw["parameter"] == next(iter(asked))
    assert said in flaw["detail"]


@pytest.mark.parametrize("name", ["user.none", "user", "*", "user.created.1", "..", "%2e%2e%2fuser.created"])
async def test_what_is_no_type_is_not_found(api: httpx.AsyncClient, name: str) -> None:
    problem_of(await api.get(f"{PATH}/{name}"), 404)
