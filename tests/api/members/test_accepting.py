"""Accepting an invitation: whoever has the link, as a new user, by the account's password, or signed in."""

import asyncio
from typing import Any

import asyncpg
import httpx
import pytest

from api.signed_links import LinkPurpose, SignedLinks
from schemas.sealing import sealer_of
from tests.api.conftest import client_of, settings_of
from tests.api.members.acting import PASSWORD, World, rows_of
from tests.api.problem import pointers_of, problem_of

pytestmark = pytest.mark.postgres
PATH = "/api/v1/invitations/accept"
AS_USER = "/api/v1/invitations/accept-as-user"
JOHN: dict[str, Any] = {"name": "John Doe", "password": PASSWORD}
UNKNOWN = "inv_019a9f2b6c7d7e8f9a0b1c2d3e4f5a6b"


async def accept(world: World, token: str, path: str = PATH, **fields: object) -> httpx.Response:
    async with world.client() as nobody:
        return await nobody.post(path, json={"token": token, **fields})


async def members(world: World) -> list[tuple[str, str]]:
    rows = await rows_of(
        world.url, "SELECT user_id, role_id FROM memberships WHERE organization_id = $1", world.organization_id
    )
    return [(row["user_id"], row["role_id"]) for row in rows]


async def users_of(world: World, email: str) -> list[dict[str, Any]]:
    rows = await rows_of(world.url, "SELECT * FROM users WHERE email_key = $1", email.lower())
    return [dict(row) for row in rows]


async def test_who_has_no_account_becomes_a_user_and_a_member(world: World) -> None:
    email = f"John-{world.organization_id[4:]}@example.com"
    invitation_id, token = await world.invite(email, "developer")
    response = await accept(world, token, **JOHN)
    assert response.status_code == 200
    (user,) = await users_of(world, email)
    joined = {"organization_id": world.organization_id, "user_id": user["id"], "role": "developer"}
    assert response.json() == joined
    assert (user["organization_id"], user["name"], user["email"]) == (world.organization_id, "John Doe", email)
    assert user["verified_at"] is not None  # the link reached the address
    assert user["password_hash"].startswith("$argon2id$")
    assert await members(world) == [(user["id"], "developer")]
    events = await world.events("user.created", "member.joined", "role.assigned", "user.verified")
    assert [each["type"] for each in events] == ["user.created", "member.joined", "role.assigned"]
    assert events[1]["data"] == {
        "user_id": user["id"],
        "email": email,
        "name": "John Doe",
        "role": "developer",
        "invitation_id": invitation_id,
    }
    assert events[2]["data"] == {"user_id": user["id"], "role": "developer", "assigned_by": "administrator"}
    (entry,) = await rows_of(world.url, "SELECT * FROM audit_log WHERE target_id = $1", user["id"])
    assert (entry["action"], entry["organization_id"]) == ("accept_invitation", world.organization_id)


@pytest.mark.parametrize(
    ("fields", "pointers"),
    [
        ({}, ["/name", "/password"]),
        ({"name": "John Doe"}, ["/password"]),
        ({"password": PASSWORD}, ["/name"]),
        ({**JOHN, "password": "short"}, ["/password"]),
        ({**JOHN, "password": "password1"}, ["/password"]),
        ({**JOHN, "password": 12345678}, ["/password"]),
        ({**JOHN, "name": ""}, ["/name"]),
        ({**JOHN, "name": "a\nb"}, ["/name"]),
        ({**JOHN, "role": "owner"}, ["/role"]),
        ({**JOHN, "email": "other@example.com"}, ["/email"]),
    ],
)
async def test_what_makes_no_user_is_refused_and_the_invitation_stays(
    world: World, fields: dict[str, Any], pointers: list[str]
) -> None:
    email = f"new-{world.organization_id[4:]}@example.com"
    _, token = await world.invite(email)
    refused = await accept(world, token, **fields)
    assert pointers_of(refused) == pointers
    assert PASSWORD not in refused.text
    assert await members(world) == []
    assert (await accept(world, token, **JOHN)).status_code == 200


async def test_the_passwords_own_account_joins(world: World) -> None:
    elsewhere = await world.another_organization()
    person = await world.member("viewer", organization_id=elsewhere)
    _, token = await world.invite(person.email.upper(), "operator")
    response = await accept(world, token, password=PASSWORD, name="Another Name")
    assert response.status_code == 200
    assert await members(world) == [(person.id, "operator")]
    (user,) = await users_of(world, person.email)
    assert (user["organization_id"], user["name"]) == (elsewhere, "Somebody")


async def test_an_account_is_joined_by_nobody_without_its_password(world: World) -> None:
    person = await world.user(organization_id=await world.another_organization())
    _, token = await world.invite(person.email)
    details = set()
    for fields in ({}, JOHN | {"password": "another sentence"}, {"password": ""}, {"password": "x" * 5000}):
        details.add(str(problem_of(await accept(world, token, **fields), 403)["detail"]))
    await rows_of(world.url, "UPDATE users SET password_hash = NULL WHERE id = $1", person.id)
    details.add(str(problem_of(await accept(world, token, password=PASSWORD), 403)["detail"]))
    assert len(details) == 1
    assert await members(world) == []


async def test_guesses_at_an_account_are_limited(world: World) -> None:
    person = await world.user()
    _, token = await world.invite(person.email)
    statuses = [(await accept(world, token, password="a wrong one")).status_code for _ in range(11)]
    assert statuses == [403] * 10 + [429]  # as many as there are at signing in, and together with these
    assert [each["data"]["user_id"] for each in await world.events("auth.failed")] == [person.id] * 10
    refused = await accept(world, token, password=PASSWORD)
    problem_of(refused, 429)
    assert int(refused.headers["retry-after"]) >= 1


async def test_a_locked_account_joins_nothing_and_says_so_to_its_owner_only(world: World) -> None:
    person = await world.user()
    _, token = await world.invite(person.email)
    await rows_of(world.url, "UPDATE users SET locked_at = now() WHERE id = $1", person.id)
    assert "locked" not in (await accept(world, token, password="a wrong one")).text
    assert "locked" in str(problem_of(await accept(world, token, password=PASSWORD), 403)["detail"])
    await rows_of(world.url, "UPDATE users SET locked_at = NULL, must_reset = true WHERE id = $1", person.id)
    problem_of(await accept(world, token, password=PASSWORD), 409)
    assert await members(world) == []


async def test_an_address_that_was_not_verified_is_by_its_link(world: World) -> None:
    person = await world.user()
    await rows_of(world.url, "UPDATE users SET verified_at = NULL WHERE id = $1", person.id)
    _, token = await world.invite(person.email)
    assert (await accept(world, token, password=PASSWORD)).status_code == 200
    (user,) = await users_of(world, person.email)
    assert user["verified_at"] is not None
    (event,) = await world.events("user.verified")
    assert isinstance(event["data"], dict)
    assert (event["data"]["id"], event["data"]["email"]) == (person.id, person.email)


async def test_who_is_signed_in_accepts_as_themselves(world: World) -> None:
    elsewhere = await world.another_organization()
    person = await world.member("viewer", organization_id=elsewhere)
    _, token = await world.invite(person.email, "operator")
    response = await person.client.post(AS_USER, json={"token": token})
    assert response.status_code == 200
    assert response.json() == {"organization_id": world.organization_id, "user_id": person.id, "role": "operator"}
    logged = await rows_of(
        world.url,
        "SELECT organization_id FROM audit_log WHERE action = 'accept_invitation_as_user' AND target_id = $1",
        person.id,
    )
    assert {row["organization_id"] for row in logged} == {world.organization_id, elsewhere}


async def test_nobody_accepts_what_was_sent_to_another(world: World) -> None:
    person, other = await world.user(), await world.member("owner")
    _, token = await world.invite(person.email)
    _, to_nobody = await world.invite(f"nobody-{world.organization_id[4:]}@example.com")
    details = {
        str(problem_of(await other.client.post(AS_USER, json={"token": each}), 403)["detail"])
        for each in (token, to_nobody)
    }
    assert len(details) == 1  # whether the address has an account does not show
    for client in (world.admin, await world.token("members:*", "users:*")):
        problem_of(await client.post(AS_USER, json={"token": token}), 403)
    async with world.client() as nobody:
        problem_of(await nobody.post(AS_USER, json={"token": token}), 401)
    assert await members(world) == [(other.id, "owner")]


async def test_another_sites_page_accepts_nothing_for_a_browser(world: World) -> None:
    person = await world.user()
    _, token = await world.invite(person.email)
    del person.client.headers["x-csrf-token"]
    problem_of(await person.client.post(AS_USER, json={"token": token}), 403)
    assert await members(world) == []


@pytest.mark.parametrize("over", ["accepted_at", "withdrawn_at", "expires_at"])
async def test_an_invitation_that_is_over_says_how_and_opens_nothing(world: World, over: str) -> None:
    person = await world.user()
    invitation_id, token = await world.invite(person.email)
    await rows_of(world.url, f"UPDATE invitations SET {over} = now() WHERE id = $1", invitation_id)
    by_password = problem_of(await accept(world, token, password=PASSWORD), 409)
    as_user = problem_of(await person.client.post(AS_USER, json={"token": token}), 409)
    assert by_password["detail"] == as_user["detail"]
    words = {"accepted_at": "accepted already", "withdrawn_at": "withdrawn", "expires_at": "expired"}
    assert words[over] in str(by_password["detail"])
    assert await members(world) == []


async def test_a_link_that_is_not_ours_is_refused_in_one_way(world: World) -> None:
    person = await world.user()
    invitation_id, token = await world.invite(person.email)
    other_key = SignedLinks(sealer_of("k2:" + "B" * 43 + "="), public_url="http://api")
    forged = [
        invitation_id,
        f"{invitation_id}.",
        f"{invitation_id}.{'A' * 43}",
        token[:-2] + ("AA" if token[-2] != "A" else "BA"),  # the last character alone carries two bits of nothing
        token[:-1],
        token[1:],
        f"{token}.{token.rpartition('.')[2]}",
        f"{UNKNOWN}.{token.rpartition('.')[2]}",
        token.replace("inv_", "usr_"),
        world.link(invitation_id, LinkPurpose.RESET),
        world.link(invitation_id, LinkPurpose.VERIFICATION),
        world.link(person.id),
        other_key.token_of(LinkPurpose.INVITATION, invitation_id),
        "x",
        "é",
        "x" * 500,
        token.upper(),
    ]
    refused = [await accept(world, each, password=PASSWORD) for each in forged]
    assert [pointers_of(each) for each in refused] == [["/token"]] * len(forged)
    assert len({each.json()["detail"] for each in refused}) == 1
    refused = [await person.client.post(AS_USER, json={"token": each}) for each in forged]
    assert len({each.json()["detail"] for each in refused}) == 1
    for wrong in (None, "", "x" * 501, 1, [token]):
        assert pointers_of(await accept(world, wrong)) == ["/token"]  # type: ignore[arg-type] # that is the point
    assert await members(world) == []


async def test_an_invitation_that_is_gone_is_not_found(world: World) -> None:
    problem_of(await accept(world, world.link(UNKNOWN), **JOHN), 404)


@pytest.mark.parametrize("has_account", [True, False])
async def test_of_many_who_accept_at_once_one_does(world: World, has_account: bool) -> None:
    email = (await world.user()).email if has_account else f"many-{world.organization_id[4:]}@example.com"
    _, token = await world.invite(email)
    answers = await asyncio.gather(*(accept(world, token, **JOHN) for _ in range(8)))
    assert sorted(each.status_code for each in answers) == [200] + [409] * 7
    assert len(await members(world)) == 1
    assert len(await users_of(world, email)) == 1
    assert len(await world.events("member.joined")) == 1


async def test_an_invitation_that_is_being_withdrawn_is_not_accepted(world: World) -> None:
    person = await world.user()
    invitation_id, token = await world.invite(person.email)
    withdrawing = await asyncpg.connect(world.url)
    try:
        async with withdrawing.transaction():
            await withdrawing.execute("UPDATE invitations SET withdrawn_at = now() WHERE id = $1", invitation_id)
            accepting = asyncio.create_task(person.client.post(AS_USER, json={"token": token}))
            await _waits_for(world, await withdrawing.fetchval("SELECT pg_backend_pid()"))
    finally:
        await withdrawing.close()
    problem_of(await accepting, 409)
    assert await members(world) == []


async def _waits_for(world: World, holder: int) -> None:
    """Return when somebody waits for what the connection `holder` has locked."""
    async with asyncio.timeout(30):
        while not await rows_of(  # noqa: ASYNC110
            world.url, "SELECT 1 FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid))", holder
        ):
            await asyncio.sleep(0.01)  # PostgreSQL tells nobody who begins to wait


async def test_two_organizations_invite_one_address_and_it_is_one_user(world: World) -> None:
    email = f"both-{world.organization_id[4:]}@example.com"
    elsewhere = await world.another_organization()
    _, token = await world.invite(email)
    headers = {"Hookline-Organization": elsewhere}
    invited = await world.admin.post(
        "/api/v1/members/invitations", json={"email": email, "role": "viewer"}, headers=headers
    )
    other = world.link(invited.json()["id"])
    answers = await asyncio.gather(accept(world, token, **JOHN), accept(world, other, **JOHN))
    # The second one finds the account: by its password here, or a conflict when both were being made.
    assert all(each.status_code in {200, 409} for each in answers)
    assert len(await users_of(world, email)) == 1
    for each in (token, other):
        await accept(world, each, **JOHN)
    (user,) = await users_of(world, email)
    rows = await rows_of(world.url, "SELECT organization_id FROM memberships WHERE user_id = $1", user["id"])
    assert {row["organization_id"] for row in rows} == {world.organization_id, elsewhere}


async def test_who_is_a_member_by_now_is_told(world: World) -> None:
    person = await world.user()
    _, token = await world.invite(person.email, "admin")
    await rows_of(
        world.url, "INSERT INTO memberships VALUES ($1, $2, 'viewer', now(), now())", world.organization_id, person.id
    )
    problem_of(await accept(world, token, password=PASSWORD), 409)
    assert await members(world) == [(person.id, "viewer")]


async def test_a_role_that_is_gone_lets_nobody_in(world: World) -> None:
    person = await world.user()
    invitation_id, token = await world.invite(person.email)
    await rows_of(world.url, "UPDATE invitations SET role_id = $2 WHERE id = $1", invitation_id, UNKNOWN)
    problem_of(await accept(world, token, password=PASSWORD), 409)
    assert await members(world) == []


async def test_a_removed_member_is_invited_again(world: World) -> None:
    person = await world.user()
    for role in ("viewer", "operator"):
        _, token = await world.invite(person.email, role)
        assert (await accept(world, token, password=PASSWORD)).status_code == 200
        assert await members(world) == [(person.id, role)]
        assert (await world.admin.delete(f"/api/v1/members/{person.id}")).status_code == 204


async def test_a_link_opens_with_its_signature_only_in_the_real_app(shared_url: str) -> None:
    async with client_of(settings_of(shared_url)) as client:
        del client.headers["authorization"]
        problem_of(await client.post(PATH, json={"token": f"{UNKNOWN}.x", **JOHN}), 422)
        problem_of(await client.post(AS_USER, json={"token": "x"}), 401)
