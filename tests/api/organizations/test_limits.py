"""An organization's rate limits: the operator's to set, and what holds for it."""

from typing import Any

import pytest

from tests.api.members.acting import World
from tests.api.problem import pointers_of, problem_of

pytestmark = pytest.mark.postgres
DEFAULT_READING = {"most": 1000, "window_s": 60, "is_default": True}


def path(world: World) -> str:
    return f"/api/v1/organizations/{world.organization_id}/limits"


async def test_limits_are_replaced_all_at_once(world: World) -> None:
    assert (await (await world.token("read")).get(path(world))).json()["reading"] == DEFAULT_READING
    put = await world.admin.put(path(world), json={"reading": 5, "publishing": 2000})
    assert put.status_code == 200
    assert put.json()["reading"] == {"most": 5, "window_s": 60, "is_default": False}
    assert put.json()["publishing"] == {"most": 2000, "window_s": 1, "is_default": False}
    again = (await world.admin.put(path(world), json={"managing": 7, "reading": None})).json()
    assert again["reading"] == DEFAULT_READING
    assert again["managing"]["most"] == 7
    assert (await (await world.token("read")).get(path(world))).json() == again


async def test_a_change_of_limits_tells_what_was_before(world: World) -> None:
    await world.admin.put(path(world), json={"reading": 5})
    await world.admin.put(path(world), json={"reading": 5})  # the same: no event
    await world.admin.put(path(world), json={})
    assert [event["previous"] for event in await world.events("organization.updated")] == [
        {"limits": {}},
        {"limits": {"reading": 5}},
    ]


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({"reading": 0}, ["/reading"]),
        ({"reading": -1}, ["/reading"]),
        ({"reading": 1.5}, ["/reading"]),
        ({"reading": "5"}, ["/reading"]),
        ({"reading": True}, ["/reading"]),
        ({"reading": 10**9}, ["/reading"]),
        ({"signing_in": 5}, ["/signing_in"]),  # by address, of whose organization nobody knows
        ({"unheard_of": 5}, ["/unheard_of"]),
        ([], [""]),
    ],
)
async def test_what_is_no_limit_is_refused(world: World, body: Any, pointers: list[str]) -> None:
    assert pointers_of(await world.admin.put(path(world), json=body)) == pointers


async def test_if_match_holds_for_limits_too(world: World) -> None:
    problem_of(await world.admin.put(path(world), json={"reading": 5}, headers={"If-Match": '"9"'}), 412)


async def test_an_owner_does_not_set_their_own_limits(world: World) -> None:
    owner = await world.member("owner")
    problem_of(await owner.client.put(path(world), json={"reading": 999_999}), 403)
