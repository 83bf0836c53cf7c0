"""Members over HTTP: who is one, who may change and remove them, and that an owner is always left."""

import asyncio
from typing import Any

import httpx
import pytest

from api.permissions import GRANTABLE
from tests.api.members.acting import Person, World, rows_of
from tests.api.problem import pointers_of, problem_of

pytestmark = pytest.mark.postgres
PATH = "/api/v1/members"
UNKNOWN = "usr_019a9f2b6c7d7e8f9a0b1c2d3e4f5a6b"


def path(person: Person) -> str:
    return f"{PATH}/{person.id}"


async def owners(world: World) -> list[str]:
    rows = await rows_of(
        world.url,
        "SELECT user_id FROM memberships WHERE organization_id = $1 AND role_id = 'owner'",
        world.organization_id,
    )
    return [row["user_id"] for row in rows]


async def test_members_are_listed_with_what_they_are(world: World) -> None:
    members = [await world.member("admin"), await world.member("viewer"), await world.member("viewer")]
    await world.user()  # of this organization, and no member
    client = await world.token("members:read")
    first = (await client.get(PATH, params={"limit": 2})).json()
    second = (await client.get(PATH, params={"limit": 2, "cursor": first["next_cursor"]})).json()
    listed = [*first["data"], *second["data"]]
    assert [(each["user_id"], each["email"]) for each in listed] == [(each.id, each.email) for each in members]
    assert [each["role"] for each in listed] == ["admin", "viewer", "viewer"]
    assert listed[0]["name"] == "Somebody"
    assert (await client.get(path(members[0]))).json() == listed[0]


async def test_a_member_whose_home_is_elsewhere_is_seen_too(world: World) -> None:
    elsewhere = await world.another_organization()
    guest = await world.user(organization_id=elsewhere)
    await rows_of(
        world.url, "INSERT INTO memberships VALUES ($1, $2, 'viewer', now(), now())", world.organization_id, guest.id
    )
    listed = (await (await world.token("members:read")).get(PATH)).json()["data"]
    assert [each["user_id"] for each in listed] == [guest.id]


async def test_a_member_gets_another_role_at_once_and_it_is_told(world: World) -> None:
    admin, member = await world.member("admin"), await world.member("viewer")
    problem_of(await member.client.get(PATH), 403)
    changed = await admin.client.patch(path(member), json={"role": "operator"})
    assert (changed.status_code, changed.json()["role"]) == (200, "operator")
    assert (await member.client.get(PATH)).status_code == 200
    events = await world.events("role.assigned", "role.revoked")
    assert [(each["type"], each["data"], each["previous"]) for each in events] == [
        ("role.revoked", {"user_id": member.id, "role": "viewer", "revoked_by": admin.id}, None),
        (
            "role.assigned",
            {"user_id": member.id, "role": "operator", "assigned_by": admin.id},
            {"role": "viewer"},
        ),
    ]


async def test_the_same_role_again_tells_nothing(world: World) -> None:
    member = await world.member("viewer")
    assert (await world.admin.patch(path(member), json={"role": "viewer"})).status_code == 200
    assert await world.events("role.assigned", "role.revoked") == []


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, ["/role"]),
        ({"role": None}, ["/role"]),
        ({"role": ""}, ["/role"]),
        ({"role": "nobody"}, ["/role"]),
        ({"role": "Owner"}, ["/role"]),
        ({"role": "rol_019a9f2b6c7d7e8f9a0b1c2d3e4f5a6b"}, ["/role"]),
        ({"role": "x" * 101}, ["/role"]),
        ({"role": ["admin"]}, ["/role"]),
        ({"role": "viewer", "permissions": ["read"]}, ["/permissions"]),
    ],
)
async def test_what_is_no_role_is_refused(world: World, body: dict[str, Any], pointers: list[str]) -> None:
    member = await world.member("admin")
    assert pointers_of(await world.admin.patch(path(member), json=body)) == pointers
    assert (await world.admin.get(path(member))).json()["role"] == "admin"


async def test_nobody_gives_a_role_that_may_more_than_they_do(world: World) -> None:
    member = await world.member("viewer")
    client = await world.token("read", "members:*")
    assert pointers_of(await client.patch(path(member), json={"role": "developer"})) == ["/role"]
    assert pointers_of(await client.patch(path(member), json={"role": "admin"})) == ["/role"]
    assert (await client.patch(path(member), json={"role": "viewer"})).status_code == 200


async def test_only_an_owner_makes_or_removes_an_owner(world: World) -> None:
    owner, other, admin = await world.member("owner"), await world.member("owner"), await world.member("admin")
    strong = await world.token(*GRANTABLE)
    for client in (admin.client, strong):
        problem_of(await client.patch(path(admin), json={"role": "owner"}), 403)
        problem_of(await client.patch(path(other), json={"role": "viewer"}), 403)
        problem_of(await client.delete(path(other)), 403)
    assert sorted(await owners(world)) == sorted([owner.id, other.id])
    assert (await owner.client.patch(path(admin), json={"role": "owner"})).status_code == 200
    assert (await owner.client.patch(path(other), json={"role": "viewer"})).status_code == 200
    assert (await owner.client.delete(path(admin))).status_code == 204
    assert await owners(world) == [owner.id]


async def test_an_owner_elsewhere_is_none_here(world: World) -> None:
    owner = await world.member("owner")
    guest = await world.member("owner", organization_id=await world.another_organization())
    await rows_of(
        world.url, "INSERT INTO memberships VALUES ($1, $2, 'admin', now(), now())", world.organization_id, guest.id
    )
    client = await world.session(guest.id, world.organization_id)
    problem_of(await client.patch(path(owner), json={"role": "viewer"}), 403)


@pytest.mark.parametrize("who", ["administrator", "owner"])
async def test_the_last_owner_stays_one(world: World, who: str) -> None:
    owner = await world.member("owner")
    client = world.admin if who == "administrator" else owner.client
    assert "last owner" in str(problem_of(await client.patch(path(owner), json={"role": "admin"}), 409)["detail"])
    problem_of(await client.delete(path(owner)), 409)
    assert await owners(world) == [owner.id]


async def test_an_owner_who_is_locked_out_does_not_count(world: World) -> None:
    owner, locked = await world.member("owner"), await world.member("owner")
    await rows_of(world.url, "UPDATE users SET locked_at = now() WHERE id = $1", locked.id)
    problem_of(await owner.client.patch(path(owner), json={"role": "admin"}), 409)
    assert (await owner.client.delete(path(locked))).status_code == 204
    assert await owners(world) == [owner.id]


async def test_an_owner_is_left_who_can_sign_in_when_another_is_locked_meanwhile(world: World) -> None:
    for _ in range(5):
        first, second, third = [await world.member("owner") for _ in range(3)]
        await rows_of(world.url, "UPDATE users SET locked_at = now() WHERE id = $1", third.id)
        demoted, locked = await asyncio.gather(
            second.client.patch(path(first), json={"role": "viewer"}),
            first.client.post(f"/api/v1/users/{second.id}/lock", json={}),
        )
        assert sum(each.status_code == 200 for each in (demoted, locked)) <= 1, (demoted.text, locked.text)
        left = await rows_of(
            world.url,
            """SELECT 1 FROM memberships JOIN users ON users.id = user_id AND locked_at IS NULL
               WHERE memberships.organization_id = $1 AND role_id = 'owner'""",
            world.organization_id,
        )
        assert left
        await rows_of(world.url, "DELETE FROM memberships WHERE organization_id = $1", world.organization_id)


@pytest.mark.parametrize("how", ["demoted", "removed", "one of each"])
async def test_of_two_owners_who_go_at_once_one_stays(world: World, how: str) -> None:
    for _ in range(5):
        first, second = await world.member("owner"), await world.member("owner")

        async def goes(client: httpx.AsyncClient, person: Person, is_removed: bool) -> int:
            if is_removed:
                return (await client.delete(path(person))).status_code
            return (await client.patch(path(person), json={"role": "viewer"})).status_code

        statuses = await asyncio.gather(
            goes(world.admin, first, how == "removed"), goes(world.admin, second, how != "demoted")
        )
        assert sorted(statuses)[1] == 409
        assert len(await owners(world)) == 1
        await rows_of(world.url, "DELETE FROM memberships WHERE organization_id = $1", world.organization_id)


async def test_owners_who_demote_each_other_leave_one(world: World) -> None:
    for _ in range(5):
        first, second = await world.member("owner"), await world.member("owner")
        statuses = await asyncio.gather(
            *(
                one.client.patch(path(other), json={"role": "viewer"})
                for one, other in ((first, second), (second, first))
            )
        )
        # Whoever comes second is an owner no more when its turn comes.
        assert sorted(each.status_code for each in statuses) == [200, 403]
        assert len(await owners(world)) == 1
        await rows_of(world.url, "DELETE FROM memberships WHERE organization_id = $1", world.organization_id)


async def test_a_removed_member_may_nothing_at_once_and_keeps_the_account(world: World) -> None:
    member = await world.member("developer")
    assert (await member.client.get("/api/v1/subscriptions")).status_code == 200
    assert (await world.admin.delete(path(member))).status_code == 204
    problem_of(await member.client.get("/api/v1/subscriptions"), 401)
    problem_of(await world.admin.get(path(member)), 404)
    assert await rows_of(world.url, "SELECT 1 FROM users WHERE id = $1", member.id)
    events = await world.events("member.removed", "role.revoked")
    assert [each["data"] for each in events] == [
        {"user_id": member.id, "email": member.email, "role": "developer", "removed_by": "administrator"},
        {"user_id": member.id, "role": "developer", "revoked_by": "administrator"},
    ]


async def test_what_a_removed_member_had_here_ends_and_elsewhere_stays(world: World) -> None:
    elsewhere = await world.another_organization()
    member = await world.member("viewer")
    for organization_id in (world.organization_id, elsewhere):
        await rows_of(world.url, _APPLICATION, f"app_{organization_id}", organization_id)
        await rows_of(world.url, _SESSION, f"ses_{organization_id}", member.id, organization_id)
        for table in (_GRANT, _CONSENT):
            await rows_of(world.url, table, f"app_{organization_id}", member.id, organization_id)
    other = await world.member("viewer")
    await rows_of(world.url, _SESSION, f"ses_other_{world.organization_id}", other.id, world.organization_id)
    assert (await world.admin.delete(path(member))).status_code == 204

    async def left(table: str, person: Person, column: str = "revoked_at") -> list[str]:
        statement = f"SELECT organization_id FROM {table} WHERE user_id = $1 AND {column} IS NULL"
        return [row["organization_id"] for row in await rows_of(world.url, statement, person.id)]

    assert await left("sessions", member) == [elsewhere]
    assert await left("oauth_grants", member) == [elsewhere]
    assert await left("oauth_consents", member, "NULL::text") == [elsewhere]
    assert set(await left("sessions", other)) == {world.organization_id}


_APPLICATION = """INSERT INTO applications (id, organization_id, version, name, kind, redirect_uris, scopes, grants,
                                            requires_pkce, signing_algorithm, enabled, created_by, created_at,
                                            updated_at)
                  VALUES ($1, $2, 1, 'App', 'public', '{}', '{}', '{}', true, 'EdDSA', true, '', now(), now())"""
_SESSION = """INSERT INTO sessions (id, user_id, organization_id, digest, address, user_agent, created_at,
                                    last_seen_at, expires_at)
              VALUES ($1, $2, $3, sha256(convert_to($1::text, 'UTF8')), '', '', now(), now(), now() + interval '1 h')"""
_GRANT = """INSERT INTO oauth_grants (id, organization_id, application_id, user_id, scopes, created_at, expires_at)
            VALUES ('gra_' || $3, $3, $1, $2, '{read}', now(), now() + interval '1 h')"""
_CONSENT = """INSERT INTO oauth_consents (organization_id, user_id, application_id, scopes, created_at, updated_at)
              VALUES ($3, $2, $1, '{read}', now(), now())"""


async def test_another_organizations_member_is_unknown(world: World) -> None:
    elsewhere = await world.another_organization()
    stranger = await world.member("viewer", organization_id=elsewhere)
    homeless = await world.user()
    owner = await world.member("owner")
    for user_id in (stranger.id, homeless.id, UNKNOWN, "nobody", "%00", "usr_"):
        problem_of(await owner.client.get(f"{PATH}/{user_id}"), 404)
        problem_of(await owner.client.patch(f"{PATH}/{user_id}", json={"role": "viewer"}), 404)
        problem_of(await owner.client.delete(f"{PATH}/{user_id}"), 404)
    assert [each["user_id"] for each in (await owner.client.get(PATH)).json()["data"]] == [owner.id]
    assert (await stranger.client.get("/api/v1/event-types")).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "needed"),
    [
        ("GET", "", "members:read"),
        ("GET", f"/{UNKNOWN}", "members:read"),
        ("PATCH", f"/{UNKNOWN}", "members:update"),
        ("DELETE", f"/{UNKNOWN}", "members:delete"),
        ("GET", "/invitations", "members:read"),
        ("POST", "/invitations", "members:create"),
        ("POST", "/invitations/x/resend", "members:create"),
        ("DELETE", "/invitations/x", "members:delete"),
    ],
)
async def test_every_route_needs_its_permission(world: World, method: str, path: str, needed: str) -> None:
    others = [f"members:{each}" for each in ("read", "create", "update", "delete") if f"members:{each}" != needed]
    refused = await (await world.token(*others)).request(method, f"{PATH}{path}", json={"role": "viewer"})
    assert needed in str(problem_of(refused, 403)["detail"])
    problem_of(await world.client().request(method, f"{PATH}{path}"), 401)


async def test_a_change_is_in_the_audit_log_with_the_role_before(world: World) -> None:
    admin, member = await world.member("admin"), await world.member("viewer")
    await admin.client.patch(path(member), json={"role": "operator"})
    (row,) = await rows_of(
        world.url,
        "SELECT actor_id, changes FROM audit_log WHERE action = 'change_member' AND target_id = $1",
        member.id,
    )
    assert (row["actor_id"], row["changes"]) == (admin.id, '{"role": "viewer"}')
