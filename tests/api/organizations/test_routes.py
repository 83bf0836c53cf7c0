"""Organizations over HTTP: who sees which, what may be changed, and what the change tells."""

from typing import Any

import httpx
import pytest

from tests.api.members.acting import World, events_of, rows_of
from tests.api.problem import pointers_of, problem_of

pytestmark = pytest.mark.postgres
PATH = "/api/v1/organizations"
BRANDING = {
    "display_name": "Example",
    "logo_url": "https://example.com/logo.png",
    "primary_color": "#1a73e8",
    "accent_color": "#FBBC04",
}


def own(world: World) -> str:
    return f"{PATH}/{world.organization_id}"


async def test_the_operator_makes_an_organization_and_it_is_announced(world: World) -> None:
    response = await world.admin.post(PATH, json={"name": "Example Ltd"})
    assert response.status_code == 201
    body = response.json()
    assert body["id"].startswith("org_")
    assert response.headers["location"] == f"{PATH}/{body['id']}"
    assert response.headers["etag"] == '"1"'
    assert body["settings"] == {"invitation_domains": [], "applications_need_approval": True}
    assert await events_of(world.url, body["id"]) == [
        {"type": "organization.created", "data": {"id": body["id"], "name": "Example Ltd"}, "previous": None}
    ]


async def test_an_id_is_taken_once(world: World) -> None:
    problem_of(await world.admin.post(PATH, json={"id": world.organization_id, "name": "x"}), 409)
    assert (await world.admin.get(own(world))).json()["name"] == "Example Ltd"


async def test_nobody_else_makes_organizations(world: World) -> None:
    owner = await world.member("owner")
    problem_of(await owner.client.post(PATH, json={"name": "x"}), 403)
    problem_of(await (await world.token("organization:*")).post(PATH, json={"name": "x"}), 403)


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, ["/name"]),
        ({"name": ""}, ["/name"]),
        ({"name": None}, ["/name"]),
        ({"name": 1}, ["/name"]),
        ({"name": "x" * 201}, ["/name"]),
        ({"name": " x"}, ["/name"]),
        ({"name": "a\r\nBcc: b@example.com"}, ["/name"]),
        ({"name": "a\u202eb"}, ["/name"]),  # it would read backwards on the consent page
        ({"name": "x", "id": "a b"}, ["/id"]),
        ({"name": "x", "id": ""}, ["/id"]),
        ({"name": "x", "id": "x" * 101}, ["/id"]),
        ({"name": "x", "limits": {}}, ["/limits"]),
    ],
)
async def test_what_is_no_organization_is_refused(world: World, body: dict[str, Any], pointers: list[str]) -> None:
    assert pointers_of(await world.admin.post(PATH, json=body)) == pointers


async def test_everybody_lists_those_they_belong_to(world: World) -> None:
    other_id = await world.another_organization()
    both = await world.member("viewer")
    await rows_of(world.url, "INSERT INTO memberships VALUES ($1, $2, 'viewer', now(), now())", other_id, both.id)
    other = await world.member("viewer", organization_id=other_id)

    async def listed(client: httpx.AsyncClient) -> list[str]:
        return [each["id"] for each in (await client.get(PATH)).json()["data"]]

    assert sorted(await listed(both.client)) == sorted([world.organization_id, other_id])
    assert await listed(other.client) == [other_id]
    assert await listed(await world.token("subscriptions:read")) == [world.organization_id]
    problem_of(await world.client().get(PATH), 401)


async def test_the_administrator_pages_through_all(world: World) -> None:
    others = {await world.another_organization() for _ in range(3)}
    found: set[str] = set()
    cursor: dict[str, str] = {}
    while True:
        page = (await world.admin.get(PATH, params={"limit": "2", **cursor})).json()
        assert len(page["data"]) <= 2
        assert not found & {each["id"] for each in page["data"]}
        found |= {each["id"] for each in page["data"]}
        if not page["has_more"]:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert others | {world.organization_id} <= found


async def test_another_organizations_id_is_unknown(world: World) -> None:
    other_id = await world.another_organization()
    owner = await world.member("owner")
    for named in (other_id, "org_nowhere", "a b", "x" * 300, "%00"):
        problem_of(await owner.client.get(f"{PATH}/{named}"), 404)
        problem_of(await owner.client.get(f"{PATH}/{named}/limits"), 404)
        problem_of(await owner.client.patch(f"{PATH}/{named}", json={"name": "mine"}), 404)
    assert (await world.admin.get(f"{PATH}/{other_id}")).json()["name"] == "Another"
    for named in ("org_nowhere", "a b", "%00", "%ff"):
        problem_of(await world.admin.get(f"{PATH}/{named}"), 404)


async def test_reading_and_changing_need_their_permissions(world: World) -> None:
    assert (await (await world.token("organization:read")).get(own(world))).status_code == 200
    problem_of(await (await world.token("members:read")).get(own(world)), 403)
    problem_of(await (await world.token("organization:read")).patch(own(world), json={"name": "x"}), 403)
    problem_of(await (await world.token("organization:*")).put(f"{own(world)}/limits", json={"reading": 1}), 403)


async def test_a_change_tells_what_was_before(world: World) -> None:
    admin = await world.member("admin")
    changed = await admin.client.patch(
        own(world), json={"name": "New", "settings": {"applications_need_approval": False}, **BRANDING}
    )
    assert changed.status_code == 200
    body = changed.json()
    assert body["version"] == 2
    assert body | BRANDING == body
    assert body["settings"] == {"invitation_domains": [], "applications_need_approval": False}
    events = await world.events(
        "organization.updated", "organization.settings_changed", "organization.branding_updated"
    )
    by = {"id": world.organization_id, "changed_by": admin.id}
    assert events == [
        {
            "type": "organization.updated",
            "data": {"id": world.organization_id, "changed": ["name"], "name": "New"},
            "previous": {"name": "Example Ltd"},
        },
        {
            "type": "organization.settings_changed",
            "data": {**by, "changed": ["settings"]},
            "previous": {"settings": {}},
        },
        {
            "type": "organization.branding_updated",
            "data": {**by, "changed": list(BRANDING)},
            "previous": dict.fromkeys(BRANDING),
        },
    ]


async def test_null_takes_settings_and_branding_back(world: World) -> None:
    given = {"invitation_domains": ["example.com"], "applications_need_approval": False}
    await world.admin.patch(own(world), json={"settings": given, "logo_url": "https://example.com/l.png"})
    changed = await world.admin.patch(own(world), json={"settings": {"invitation_domains": None}, "logo_url": None})
    assert changed.json()["settings"] == {"invitation_domains": [], "applications_need_approval": False}
    assert changed.json()["logo_url"] is None


async def test_what_changes_nothing_is_no_version_and_no_event(world: World) -> None:
    bodies: list[dict[str, Any]] = [{}, {"name": "Example Ltd"}, {"settings": {}}, {"logo_url": None}]
    for body in bodies:
        assert (await world.admin.patch(own(world), json=body)).json()["version"] == 1
    assert [event["type"] for event in await world.events()] == ["organization.created"]


async def test_if_match_keeps_a_change_from_hiding_another(world: World) -> None:
    etag = (await world.admin.get(own(world))).headers["etag"]
    first = await world.admin.patch(own(world), json={"name": "First"}, headers={"If-Match": etag})
    assert first.headers["etag"] == '"2"'
    problem_of(await world.admin.patch(own(world), json={"name": "Second"}, headers={"If-Match": etag}), 412)
    again = await world.admin.get(own(world), headers={"If-None-Match": '"2"'})
    assert again.status_code == 304


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({"name": None}, ["/name"]),
        ({"settings": None}, ["/settings"]),
        ({"settings": {"session_timeout": 1}}, ["/settings/session_timeout"]),
        ({"settings": {"applications_need_approval": "yes"}}, ["/settings/applications_need_approval"]),
        ({"settings": {"invitation_domains": "example.com"}}, ["/settings/invitation_domains"]),
        ({"settings": {"invitation_domains": ["Example.com"]}}, ["/settings/invitation_domains/0"]),
        ({"settings": {"invitation_domains": ["bücher.example"]}}, ["/settings/invitation_domains/0"]),
        ({"settings": {"invitation_domains": ["@example.com"]}}, ["/settings/invitation_domains/0"]),
        ({"settings": {"invitation_domains": ["a.example", "a.example"]}}, ["/settings/invitation_domains"]),
        ({"settings": {"invitation_domains": [f"d{n}.example" for n in range(51)]}}, ["/settings/invitation_domains"]),
        ({"logo_url": "http://example.com/l.png"}, ["/logo_url"]),
        ({"logo_url": "javascript:alert(1)"}, ["/logo_url"]),
        ({"logo_url": "data:image/png;base64,AA"}, ["/logo_url"]),
        ({"logo_url": "https://10.0.0.1/l.png"}, ["/logo_url"]),
        ({"logo_url": "https://a@example.com/l.png"}, ["/logo_url"]),
        ({"primary_color": "red"}, ["/primary_color"]),
        ({"primary_color": "#fff"}, ["/primary_color"]),
        ({"accent_color": "#12345g"}, ["/accent_color"]),
        ({"accent_color": "#123456\n"}, ["/accent_color"]),
        ({"accent_color": "#123456;background:url(//evil)"}, ["/accent_color"]),
        ({"display_name": ""}, ["/display_name"]),
        ({"limits": {"reading": 9}}, ["/limits"]),  # the operator's alone
        ({"id": "org_other"}, ["/id"]),
    ],
)
async def test_what_does_not_hold_is_refused_and_pointed_at(
    world: World, body: dict[str, Any], pointers: list[str]
) -> None:
    assert pointers_of(await world.admin.patch(own(world), json=body)) == pointers
    assert (await world.admin.get(own(world))).json()["version"] == 1


async def test_a_change_is_in_the_audit_log_with_what_was_before(world: World) -> None:
    admin = await world.member("admin")
    await admin.client.patch(own(world), json={"name": "New"})
    rows = await rows_of(
        world.url,
        "SELECT actor_id, target_id, changes FROM audit_log WHERE organization_id = $1 AND action = $2",
        world.organization_id,
        "change_organization",
    )
    assert [(row["actor_id"], row["target_id"], row["changes"]) for row in rows] == [
        (admin.id, world.organization_id, '{"name": "Example Ltd"}')
    ]
