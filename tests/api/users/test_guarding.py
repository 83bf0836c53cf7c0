"""Who may change whose account: nobody that of somebody who may do more."""

import asyncio
from uuid import uuid4

import httpx
import pytest
import uuid_utils

from tests.api.problem import problem_of
from tests.api.users.accounts import browser_of, made_user, query, signed_in

pytestmark = pytest.mark.postgres

PATH = "/api/v1/users"
CHANGES = [
    ("PATCH", "", {"email": "eve@example.com"}),
    ("PATCH", "", {"must_reset": True}),
    ("POST", "/lock", {}),
    ("DELETE", "", None),
]


async def custom_role(url: str, organization_id: str, *permissions: str) -> str:
    role_id = f"rol_{uuid_utils.uuid7().hex}"
    await query(
        url,
        "INSERT INTO roles (id, organization_id, version, name, permissions, created_at, updated_at) "
        "VALUES ($1, $2, 1, $1, $3, now(), now())",
        role_id,
        organization_id,
        list(permissions),
    )
    return role_id


@pytest.mark.parametrize(("method", "after", "body"), CHANGES)
async def test_an_admin_changes_no_owner(
    api: httpx.AsyncClient, method: str, after: str, body: dict[str, object] | None
) -> None:
    owner, admin = await made_user(api), await made_user(api, role="admin")
    other, viewer = await made_user(api), await made_user(api, role="viewer")
    if body == {"email": "eve@example.com"}:
        body = {"email": f"{uuid4().hex}@example.com"}
    async with browser_of(api) as browser:
        await signed_in(browser, admin)
        refused = await browser.request(method, f"{PATH}/{owner['id']}{after}", json=body)
        assert "only an owner" in str(problem_of(refused, 403)["detail"])
        assert (await browser.request(method, f"{PATH}/{viewer['id']}{after}", json=body)).is_success
    if body is not None and "email" in body:
        body = {"email": f"{uuid4().hex}@example.com"}
    async with browser_of(api) as browser:
        await signed_in(browser, owner)
        assert (await browser.request(method, f"{PATH}/{other['id']}{after}", json=body)).is_success


@pytest.mark.parametrize(("method", "after", "body"), CHANGES)
async def test_nobody_changes_the_account_of_somebody_who_may_do_more(
    api: httpx.AsyncClient, shared_url: str, method: str, after: str, body: dict[str, object] | None
) -> None:
    organization_id = api.headers["Hookline-Organization"]
    admin = await made_user(api, role="admin")
    manages = await custom_role(shared_url, organization_id, "users:*")
    clerk = await made_user(api, role=manages)
    async with browser_of(api) as browser:
        await signed_in(browser, clerk)
        refused = await browser.request(method, f"{PATH}/{admin['id']}{after}", json=body)
        assert "may do more than you" in str(problem_of(refused, 403)["detail"])


@pytest.mark.parametrize(
    ("permissions", "role", "status"),
    [
        (["users:create"], None, 201),
        (["users:create"], "viewer", 403),  # a member is made with members:create
        (["users:create", "members:create"], "viewer", 422),  # and nobody gives what they do not have
        (["users:create", "members:create", "read"], "viewer", 201),
        (["users:create", "members:create", "read"], "admin", 422),
    ],
)
async def test_nobody_makes_a_member_who_may_do_more_than_they(
    api: httpx.AsyncClient, shared_url: str, permissions: list[str], role: str | None, status: int
) -> None:
    await made_user(api)
    made = await custom_role(shared_url, api.headers["Hookline-Organization"], *permissions)
    clerk = await made_user(api, role=made)
    body = {"email": f"{uuid4().hex}@example.com", "name": "Eve"} | ({} if role is None else {"role": role})
    async with browser_of(api) as browser:
        await signed_in(browser, clerk)
        assert (await browser.post(PATH, json=body)).status_code == status
        problem_of(await browser.post(PATH, json={**body, "verified": True}), 403)


async def test_an_admin_makes_no_owner(api: httpx.AsyncClient) -> None:
    admin, owner = await made_user(api, role="admin"), await made_user(api)
    for user, status in ((admin, 403), (owner, 201)):
        async with browser_of(api) as browser:
            await signed_in(browser, user)
            body = {"email": f"{uuid4().hex}@example.com", "name": "Eve", "role": "owner"}
            assert (await browser.post(PATH, json=body)).status_code == status


@pytest.mark.parametrize(("method", "after", "body"), [("POST", "/lock", {}), ("DELETE", "", None)])
async def test_nobody_locks_or_deletes_their_own_account(
    api: httpx.AsyncClient, method: str, after: str, body: dict[str, object] | None
) -> None:
    owner, _ = await made_user(api), await made_user(api)
    async with browser_of(api) as browser:
        await signed_in(browser, owner)
        problem_of(await browser.request(method, f"{PATH}/{owner['id']}{after}", json=body), 409)


async def test_the_role_of_another_organization_is_none(api: httpx.AsyncClient, shared_url: str) -> None:
    await made_user(api)
    other = f"org_{uuid4().hex}"
    made = await api.post(
        PATH, json={"email": f"{uuid4().hex}@example.com", "name": "B"}, headers={"Hookline-Organization": other}
    )
    assert made.status_code == 201
    theirs = await custom_role(shared_url, other, "read")
    body = {"email": f"{uuid4().hex}@example.com", "name": "Eve", "role": theirs}
    problem_of(await api.post(PATH, json=body), 422)


@pytest.mark.parametrize(("method", "after", "body"), [("POST", "/lock", {}), ("DELETE", "", None)])
async def test_of_two_owners_who_lock_each_other_out_one_stays(
    api: httpx.AsyncClient, method: str, after: str, body: dict[str, object] | None
) -> None:
    one, two = await made_user(api), await made_user(api)
    async with browser_of(api) as first, browser_of(api) as second:
        await signed_in(first, one)
        await signed_in(second, two)
        answers = await asyncio.gather(
            first.request(method, f"{PATH}/{two['id']}{after}", json=body),
            second.request(method, f"{PATH}/{one['id']}{after}", json=body),
        )
    assert sorted(each.is_success for each in answers) == [False, True]
    assert {each.status_code for each in answers if not each.is_success} <= {401, 403, 404, 409}


async def test_nobody_takes_over_what_a_user_may_do_in_another_organization(
    api: httpx.AsyncClient, shared_url: str
) -> None:
    """Who sets the address has the account: with a membership elsewhere, a home organization would have that too."""
    other = f"org_{uuid4().hex}"
    user = await made_user(api, role="viewer")
    admin = await made_user(api, role="admin")
    elsewhere = {"Hookline-Organization": other}
    invited = await api.post(
        "/api/v1/members/invitations", json={"email": user["email"], "role": "owner"}, headers=elsewhere
    )
    assert invited.status_code == 201, invited.text
    await query(
        shared_url,
        "INSERT INTO memberships (organization_id, user_id, role_id, created_at, updated_at) "
        "VALUES ($1, $2, 'owner', now(), now())",
        other,
        user["id"],
    )
    async with browser_of(api) as browser:
        await signed_in(browser, admin)
        taken = await browser.patch(f"{PATH}/{user['id']}", json={"email": f"{uuid4().hex}@example.com"})
        problem_of(taken, 409)
        assert (await browser.patch(f"{PATH}/{user['id']}", json={"name": "Another"})).status_code == 200
        assert (await browser.patch(f"{PATH}/{user['id']}", json={"email": user["email"]})).status_code == 200
