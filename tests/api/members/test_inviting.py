"""Inviting over HTTP: whom, to which role, and that the link goes to the address alone."""

import asyncio
from typing import Any

import pytest

from tests.api.members.acting import World, rows_of
from tests.api.problem import pointers_of, problem_of

pytestmark = pytest.mark.postgres
PATH = "/api/v1/members/invitations"
UNKNOWN = "inv_019a9f2b6c7d7e8f9a0b1c2d3e4f5a6b"
JOHN = {"email": "John@Example.com", "role": "developer"}


async def mails(world: World) -> list[dict[str, Any]]:
    rows = await rows_of(world.url, "SELECT * FROM mails WHERE organization_id = $1 ORDER BY id", world.organization_id)
    return [dict(row) for row in rows]


async def test_an_invitation_is_mailed_and_its_link_is_nowhere_else(world: World) -> None:
    admin = await world.member("admin")
    response = await admin.client.post(PATH, json=JOHN)
    assert response.status_code == 201
    body = response.json()
    assert response.headers["location"] == f"{PATH}/{body['id']}"
    assert (body["email"], body["role"], body["state"]) == ("John@Example.com", "developer", "pending")
    assert body["invited_by"] == admin.id
    (mail,) = await mails(world)
    assert (mail["recipient"], mail["template"]) == ("John@Example.com", "invitation")
    assert (mail["link_purpose"], mail["link_id"]) == ("invitation", body["id"])
    assert mail["parameters"] == '{"role": "developer", "invited_by": "Somebody"}'
    signature = world.link(body["id"]).rpartition(".")[2]
    assert signature not in response.text + str(mail) + str(await world.events())
    (event,) = await world.events("member.invited")
    assert event["data"] == {
        "invitation_id": body["id"],
        "email": "John@Example.com",
        "role": "developer",
        "invited_by": admin.id,
        "expires_at": body["expires_at"].replace("Z", "+00:00"),
    }


async def test_an_invitation_that_is_refused_sends_nothing(world: World) -> None:
    client = await world.token("members:*", "read")
    assert pointers_of(await client.post(PATH, json=JOHN)) == ["/role"]
    assert await mails(world) == []
    assert await world.events("member.invited") == []


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({"role": "viewer"}, ["/email"]),
        ({"email": "a@example.com"}, ["/role"]),
        ({"email": "nobody", "role": "viewer"}, ["/email"]),
        ({"email": "a@b@example.com", "role": "viewer"}, ["/email"]),
        ({"email": "a@example.com\r\nBcc: b@example.com", "role": "viewer"}, ["/email"]),
        ({"email": "a@example.com, b@example.com", "role": "viewer"}, ["/email"]),
        ({"email": "A <a@example.com>", "role": "viewer"}, ["/email"]),
        ({"email": f"{'x' * 250}@example.com", "role": "viewer"}, ["/email"]),
        ({"email": ["a@example.com"], "role": "viewer"}, ["/email"]),
        ({"email": "a@example.com", "role": "nobody"}, ["/role"]),
        ({"email": "a@example.com", "role": "viewer", "organization_id": "org_other"}, ["/organization_id"]),
    ],
)
async def test_what_is_no_invitation_is_refused(world: World, body: dict[str, Any], pointers: list[str]) -> None:
    assert pointers_of(await world.admin.post(PATH, json=body)) == pointers


async def test_only_an_owner_invites_an_owner(world: World) -> None:
    owner, admin = await world.member("owner"), await world.member("admin")
    problem_of(await admin.client.post(PATH, json={**JOHN, "role": "owner"}), 403)
    invited = await owner.client.post(PATH, json={**JOHN, "role": "owner"})
    assert invited.status_code == 201
    problem_of(await admin.client.post(f"{PATH}/{invited.json()['id']}/resend"), 403)


async def test_members_and_those_who_are_invited_are_not_invited_again(world: World) -> None:
    member = await world.member("viewer")
    problem_of(await world.admin.post(PATH, json={"email": member.email.upper(), "role": "viewer"}), 409)
    await world.invite("john@example.com")
    problem_of(await world.admin.post(PATH, json=JOHN), 409)
    assert len(await mails(world)) == 1


async def test_of_two_invitations_at_once_there_is_one(world: World) -> None:
    answers = await asyncio.gather(*(world.admin.post(PATH, json=JOHN) for _ in range(4)))
    assert sorted(each.status_code for each in answers) == [201, 409, 409, 409]


async def test_an_account_elsewhere_does_not_show(world: World) -> None:
    stranger = await world.member("viewer", organization_id=await world.another_organization())
    with_account = await world.admin.post(PATH, json={"email": stranger.email, "role": "viewer"})
    without = await world.admin.post(PATH, json={"email": "nobody@example.com", "role": "viewer"})
    assert with_account.status_code == without.status_code == 201
    assert with_account.json().keys() == without.json().keys()


@pytest.mark.parametrize(
    ("email", "status"),
    [
        ("a@example.com", 201),
        ("a@EXAMPLE.com", 201),
        ("a@xn--bcher-kva.example", 201),
        ("a@bücher.example", 201),
        ("a@sub.example.com", 422),
        ("a@badexample.com", 422),
        ("example.com@evil.example", 422),
    ],
)
async def test_settings_say_which_domains_are_invited(world: World, email: str, status: int) -> None:
    allowed = {"invitation_domains": ["example.com", "xn--bcher-kva.example"]}
    changed = await world.admin.patch(f"/api/v1/organizations/{world.organization_id}", json={"settings": allowed})
    assert changed.status_code == 200
    assert (await world.admin.post(PATH, json={"email": email, "role": "viewer"})).status_code == status


async def test_invitations_are_listed_as_they_stand(world: World) -> None:
    ids = [(await world.invite(f"{n}@example.com"))[0] for n in range(4)]
    await world.admin.delete(f"{PATH}/{ids[1]}")
    await rows_of(world.url, "UPDATE invitations SET expires_at = now() WHERE id = $1", ids[2])
    await rows_of(world.url, "UPDATE invitations SET accepted_at = now() WHERE id = $1", ids[3])
    client = await world.token("members:read")
    first = (await client.get(PATH, params={"limit": 3})).json()
    rest = (await client.get(PATH, params={"limit": 3, "cursor": first["next_cursor"]})).json()
    listed = [*first["data"], *rest["data"]]
    states = ["pending", "withdrawn", "expired", "accepted"]
    assert [(each["id"], each["state"]) for each in listed] == list(zip(ids, states, strict=True))
    for identifier, state in zip(ids, states, strict=True):
        found = (await client.get(PATH, params={"state": state})).json()["data"]
        assert [each["id"] for each in found] == [identifier]
    problem_of(await client.get(PATH, params={"state": "open"}), 422)


async def test_withdrawing_is_told_once(world: World) -> None:
    invitation_id, _ = await world.invite("a@example.com")
    for _ in range(2):
        assert (await world.admin.delete(f"{PATH}/{invitation_id}")).status_code == 204
    (event,) = await world.events("member.invitation_withdrawn")
    assert event["data"] == {
        "invitation_id": invitation_id,
        "email": "a@example.com",
        "role": "viewer",
        "withdrawn_by": "administrator",
    }
    problem_of(await world.admin.post(f"{PATH}/{invitation_id}/resend"), 409)
    assert (await world.invite("a@example.com"))[0] != invitation_id


async def test_sending_again_gives_an_expired_invitation_its_full_time(world: World) -> None:
    invitation_id, _ = await world.invite("a@example.com")
    await rows_of(world.url, "UPDATE invitations SET expires_at = now() WHERE id = $1", invitation_id)
    again = await world.admin.post(f"{PATH}/{invitation_id}/resend")
    assert (again.status_code, again.json()["state"]) == (200, "pending")
    assert [mail["link_id"] for mail in await mails(world)] == [invitation_id] * 2


async def test_an_expired_invitation_does_not_come_back_beside_a_newer_one(world: World) -> None:
    invitation_id, _ = await world.invite("a@example.com")
    await rows_of(world.url, "UPDATE invitations SET expires_at = now() WHERE id = $1", invitation_id)
    await world.invite("A@example.com")
    problem_of(await world.admin.post(f"{PATH}/{invitation_id}/resend"), 409)


async def test_nobody_sends_again_what_they_could_not_give(world: World) -> None:
    invitation_id, _ = await world.invite("a@example.com", "admin")
    problem_of(await (await world.token("members:*")).post(f"{PATH}/{invitation_id}/resend"), 422)


async def test_another_organizations_invitation_is_unknown(world: World) -> None:
    invitation_id, _ = await world.invite("a@example.com")
    owner = await world.member("owner", organization_id=await world.another_organization())
    for named in (invitation_id, UNKNOWN, "inv_", "%00"):
        problem_of(await owner.client.delete(f"{PATH}/{named}"), 404)
        problem_of(await owner.client.post(f"{PATH}/{named}/resend"), 404)
    assert (await owner.client.get(PATH)).json()["data"] == []
    assert (await world.admin.get(PATH)).json()["data"][0]["state"] == "pending"
