"""Roles over HTTP: built-in ones, an organization's own, and that nobody gives what they do not have."""

import asyncio
from typing import Any

import pytest

from api.permissions import BUILT_IN_ROLES, COARSE
from tests.api.members.acting import World, rows_of
from tests.api.problem import pointers_of, problem_of

pytestmark = pytest.mark.postgres
PATH = "/api/v1/roles"
SUPPORT = {"name": "Support", "permissions": ["deliveries:read", "deliveries:retry"]}
UNKNOWN = "rol_019a9f2b6c7d7e8f9a0b1c2d3e4f5a6b"


async def made(world: World, **fields: object) -> dict[str, Any]:
    response = await world.admin.post(PATH, json={**SUPPORT, **fields})
    assert response.status_code == 201, response.text
    body: dict[str, Any] = response.json()
    return body


async def test_built_in_roles_are_listed_first_and_say_what_they_allow(world: World) -> None:
    own = await made(world)
    listed = (await (await world.token("roles:read")).get(PATH)).json()["data"]
    assert [role["id"] for role in listed] == ["owner", "admin", "developer", "operator", "viewer", own["id"]]
    assert {role["id"]: set(role["permissions"]) for role in listed if role["built_in"]} == dict(BUILT_IN_ROLES)
    assert listed[-1] == own


@pytest.mark.parametrize("limit", [1, 2, 5, 6])
async def test_pages_go_from_built_in_roles_to_the_organizations_own(world: World, limit: int) -> None:
    own = [(await made(world, name=f"Role {n}"))["id"] for n in range(2)]
    found: list[str] = []
    cursor: dict[str, str] = {}
    for _ in range(10):
        page = (await world.admin.get(PATH, params={"limit": str(limit), **cursor})).json()
        found += [role["id"] for role in page["data"]]
        if not page["has_more"]:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert found == [*BUILT_IN_ROLES, *own]


async def test_scopes_are_kept_as_permissions(world: World) -> None:
    role = await made(world, permissions=["read", "tokens:*"], description="Reads")
    tokens = {"tokens:read", "tokens:create", "tokens:update", "tokens:delete"}
    assert set(role["permissions"]) == {*COARSE["read"], *tokens}
    assert role["permissions"] == sorted(role["permissions"])
    assert (await world.admin.get(f"{PATH}/{role['id']}")).json() == role
    assert (await world.admin.get(f"{PATH}/viewer")).json()["built_in"] is True
    (event,) = await world.events("role.created")
    assert event["data"] == {"id": role["id"], "name": "Support", "permissions": role["permissions"]}


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({"permissions": ["read"]}, ["/name"]),
        ({"name": "x"}, ["/permissions"]),
        ({"name": "x", "permissions": []}, ["/permissions"]),
        ({"name": "x", "permissions": "read"}, ["/permissions"]),
        ({"name": "x", "permissions": ["readd"]}, ["/permissions"]),
        ({"name": "x", "permissions": ["subscriptions:"]}, ["/permissions"]),
        ({"name": "x", "permissions": ["*"]}, ["/permissions"]),
        ({"name": "x", "permissions": ["*:*"]}, ["/permissions"]),
        ({"name": "x", "permissions": ["limits:update"]}, ["/permissions"]),  # the operator's alone
        ({"name": "x", "permissions": ["quarantine:*"]}, ["/permissions"]),
        ({"name": "x", "permissions": ["organizations:create"]}, ["/permissions"]),
        ({"name": "Owner", "permissions": ["read"]}, ["/name"]),
        ({"name": "rol_x", "permissions": ["read"]}, ["/name"]),
        ({"name": "a\nb", "permissions": ["read"]}, ["/name"]),
        ({"name": "x" * 101, "permissions": ["read"]}, ["/name"]),
        ({"name": "x", "permissions": ["read"], "built_in": True}, ["/built_in"]),
        ({"name": "x", "permissions": ["read"] * 101}, ["/permissions"]),
    ],
)
async def test_what_is_no_role_is_refused(world: World, body: dict[str, Any], pointers: list[str]) -> None:
    assert pointers_of(await world.admin.post(PATH, json=body)) == pointers


async def test_a_name_is_taken_once_whatever_its_case(world: World) -> None:
    await made(world)
    other = await made(world, name="Other")
    problem_of(await world.admin.post(PATH, json={**SUPPORT, "name": "SUPPORT"}), 409)
    problem_of(await world.admin.patch(f"{PATH}/{other['id']}", json={"name": "sUpport"}), 409)


async def test_nobody_gives_a_role_what_they_do_not_have(world: World) -> None:
    client = await world.token("roles:*", "deliveries:read")
    problem = await client.post(PATH, json=SUPPORT)
    assert pointers_of(problem) == ["/permissions"]
    assert "deliveries:retry" in problem.json()["detail"]
    mine = (await client.post(PATH, json={**SUPPORT, "permissions": ["deliveries:read"]})).json()
    grown = await client.patch(f"{PATH}/{mine['id']}", json={"permissions": ["deliveries:*"]})
    assert pointers_of(grown) == ["/permissions"]
    # What a role has already, somebody who lacks it may leave or take, not add.
    theirs = await made(world, name="Theirs")
    kept = await client.patch(f"{PATH}/{theirs['id']}", json={"permissions": ["deliveries:retry", "roles:read"]})
    assert kept.json()["permissions"] == ["deliveries:retry", "roles:read"]


async def test_a_change_tells_what_was_before_and_holds_at_once(world: World) -> None:
    role = await made(world)
    member = await world.member(role["id"])
    assert (await member.client.get("/api/v1/deliveries")).status_code == 200
    changed = await world.admin.patch(
        f"{PATH}/{role['id']}", json={"permissions": ["roles:read"]}, headers={"If-Match": '"1"'}
    )
    assert (changed.status_code, changed.headers["etag"]) == (200, '"2"')
    problem_of(await member.client.get("/api/v1/deliveries"), 403)
    assert (await member.client.get(PATH)).status_code == 200
    (event,) = await world.events("role.updated")
    assert event["previous"] == {"permissions": SUPPORT["permissions"]}
    assert event["data"] == {
        "id": role["id"],
        "name": "Support",
        "permissions": ["roles:read"],
        "changed": ["permissions"],
    }


async def test_what_changes_nothing_is_no_version_and_no_event(world: World) -> None:
    role = await made(world)
    for body in ({}, SUPPORT, {"description": None}, {"permissions": ["deliveries:retry", "deliveries:read"]}):
        assert (await world.admin.patch(f"{PATH}/{role['id']}", json=body)).json()["version"] == 1
    assert await world.events("role.updated") == []


async def test_if_match_keeps_a_change_from_hiding_another(world: World) -> None:
    role = await made(world)
    stale = {"If-Match": '"7"'}
    problem_of(await world.admin.patch(f"{PATH}/{role['id']}", json={"name": "x"}, headers=stale), 412)
    problem_of(await world.admin.delete(f"{PATH}/{role['id']}", headers=stale), 412)
    assert (await world.admin.get(f"{PATH}/{role['id']}")).json() == role


async def test_built_in_roles_stay_as_they_are(world: World) -> None:
    for name in BUILT_IN_ROLES:
        problem_of(await world.admin.patch(f"{PATH}/{name}", json={"permissions": ["read"]}), 409)
        problem_of(await world.admin.delete(f"{PATH}/{name}"), 409)


async def test_a_role_that_somebody_has_is_not_deleted(world: World) -> None:
    role = await made(world)
    member = await world.member(role["id"])
    problem_of(await world.admin.delete(f"{PATH}/{role['id']}"), 409)
    await world.admin.patch(f"/api/v1/members/{member.id}", json={"role": "viewer"})
    invitation_id, _ = await world.invite("new@example.com", role["id"])
    problem_of(await world.admin.delete(f"{PATH}/{role['id']}"), 409)
    await world.admin.delete(f"/api/v1/members/invitations/{invitation_id}")
    assert (await world.admin.delete(f"{PATH}/{role['id']}")).status_code == 204
    problem_of(await world.admin.get(f"{PATH}/{role['id']}"), 404)
    (event,) = await world.events("role.deleted")
    assert event["data"] == {"id": role["id"], "name": "Support"}


async def test_a_role_is_never_given_while_it_is_deleted(world: World) -> None:
    for _ in range(5):
        role = await made(world)
        member = await world.member("viewer")
        given, deleted = await asyncio.gather(
            world.admin.patch(f"/api/v1/members/{member.id}", json={"role": role["id"]}),
            world.admin.delete(f"{PATH}/{role['id']}"),
        )
        assert (given.status_code, deleted.status_code) in {(200, 409), (422, 204)}
        if deleted.status_code == 409:
            await world.admin.patch(f"/api/v1/members/{member.id}", json={"role": "viewer"})
            assert (await world.admin.delete(f"{PATH}/{role['id']}")).status_code == 204


async def test_another_organizations_role_is_unknown(world: World) -> None:
    role = await made(world)
    elsewhere = await world.another_organization()
    owner = await world.member("owner", organization_id=elsewhere)
    member = await world.member("viewer", organization_id=elsewhere)
    for role_id in (role["id"], UNKNOWN, "nothing", "rol_", "%00"):
        problem_of(await owner.client.get(f"{PATH}/{role_id}"), 404)
        problem_of(await owner.client.patch(f"{PATH}/{role_id}", json={"name": "Mine"}), 404)
        problem_of(await owner.client.delete(f"{PATH}/{role_id}"), 404)
    response = await owner.client.patch(f"/api/v1/members/{member.id}", json={"role": role["id"]})
    assert pointers_of(response) == ["/role"]
    assert (await world.admin.get(f"{PATH}/{role['id']}")).json() == role


@pytest.mark.parametrize(
    ("method", "path", "needed"),
    [
        ("GET", "", "roles:read"),
        ("GET", "/viewer", "roles:read"),
        ("POST", "", "roles:create"),
        ("PATCH", "/viewer", "roles:update"),
        ("DELETE", "/viewer", "roles:delete"),
    ],
)
async def test_every_route_needs_its_permission(world: World, method: str, path: str, needed: str) -> None:
    others = [f"roles:{each}" for each in ("read", "create", "update", "delete") if f"roles:{each}" != needed]
    refused = await (await world.token(*others)).request(method, f"{PATH}{path}", json=SUPPORT)
    assert needed in str(problem_of(refused, 403)["detail"])
    problem_of(await world.client().request(method, f"{PATH}{path}"), 401)


async def test_deleting_is_in_the_audit_log_with_what_it_was(world: World) -> None:
    role = await made(world)
    await world.admin.delete(f"{PATH}/{role['id']}")
    (row,) = await rows_of(
        world.url, "SELECT changes FROM audit_log WHERE action = 'delete_role' AND target_id = $1", role["id"]
    )
    assert "deliveries:retry" in row["changes"]
