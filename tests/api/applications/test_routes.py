"""Registering applications, and letting other organizations' ones in."""

from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from tests.api.problem import pointers_of, problem_of

pytestmark = pytest.mark.postgres

PATH, APPROVALS = "/api/v1/applications", "/api/v1/application-approvals"
REDIRECT = "https://client.example/callback"
GIVEN: dict[str, Any] = {
    "name": "Reporting",
    "kind": "confidential",
    "redirect_uris": [REDIRECT],
    "scopes": ["read"],
    "grants": ["authorization_code", "refresh_token"],
}
UNKNOWN = "app_019a9f2a11127a3b8c4d5e6f708192a3"


async def made(api: httpx.AsyncClient, *, organization: str | None = None, **fields: object) -> dict[str, Any]:
    headers = {} if organization is None else {"Hookline-Organization": organization}
    response = await api.post(PATH, json={**GIVEN, **fields}, headers=headers)
    assert response.status_code == 201, response.text
    body: dict[str, Any] = response.json()
    return body


async def rows(url: str, query: str, *values: object) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url)
    try:
        return list(await connection.fetch(query, *values))
    finally:
        await connection.close()


async def test_a_confidential_one_gets_its_secret_once_and_a_public_one_none(
    api: httpx.AsyncClient, shared_url: str
) -> None:
    response = await api.post(PATH, json=GIVEN)
    body = response.json()
    assert response.headers["location"] == f"{PATH}/{body['id']}"
    assert response.headers["cache-control"] == "no-store"
    secret = body.pop("client_secret")
    assert secret.startswith("hks_")
    assert len(secret) == 47
    assert len(body["client_id"]) >= 16
    assert body["client_id"] == body["id"]
    assert (body["requires_pkce"], body["signing_algorithm"], body["enabled"]) == (True, "EdDSA", True)
    assert (await api.get(f"{PATH}/{body['id']}")).json() == body
    assert (await api.get(PATH)).json()["data"] == [body]
    assert secret not in str(await rows(shared_url, "SELECT * FROM application_secrets"))
    public = await made(api, kind="public")
    assert public["client_secret"] is None


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"name": ""}, "/name"),
        ({"name": " x"}, "/name"),
        ({"name": "a\u202eb"}, "/name"),
        ({"kind": "other"}, "/kind"),
        ({"redirect_uris": []}, "/redirect_uris"),
        ({"redirect_uris": [REDIRECT, "http://client.example/"]}, "/redirect_uris/1"),
        ({"redirect_uris": ["com.example.app:/callback"]}, "/redirect_uris/0"),  # for public ones only
        ({"redirect_uris": [REDIRECT, REDIRECT]}, "/redirect_uris"),
        ({"redirect_uris": [f"{REDIRECT}/{number}" for number in range(21)]}, "/redirect_uris"),
        ({"scopes": []}, "/scopes"),
        ({"scopes": ["everything"]}, "/scopes"),
        ({"scopes": ["quarantine:read"]}, "/scopes"),  # the operator's
        ({"scopes": ["read", "read"]}, "/scopes"),
        ({"grants": []}, "/grants"),
        ({"grants": ["password"]}, "/grants/0"),
        ({"grants": ["refresh_token"]}, "/grants"),
        ({"grants": ["client_credentials"], "kind": "public"}, "/grants"),
        ({"requires_pkce": False, "kind": "public"}, "/requires_pkce"),
        ({"signing_algorithm": "HS256"}, "/signing_algorithm"),
        ({"signing_algorithm": "none"}, "/signing_algorithm"),
        ({"logo_url": "http://client.example/logo.png"}, "/logo_url"),
        ({"logo_url": "javascript:alert(1)"}, "/logo_url"),
        ({"homepage_url": "https://user:password@client.example/"}, "/homepage_url"),
        ({"client_secret": "mine"}, "/client_secret"),
    ],
)
async def test_what_does_not_hold_is_refused_with_where(
    api: httpx.AsyncClient, fields: dict[str, object], pointer: str
) -> None:
    assert pointer in pointers_of(await api.post(PATH, json={**GIVEN, **fields}))
    assert (await api.get(PATH)).json()["data"] == []


async def test_a_patch_changes_what_it_names_and_says_what_was(api: httpx.AsyncClient, shared_url: str) -> None:
    body = await made(api, description="old")
    at = f"{PATH}/{body['id']}"
    problem_of(await api.patch(at, json={"name": "x"}, headers={"If-Match": '"7"'}), 412)
    patch = {"name": "Reports", "description": None, "requires_pkce": False}
    changed = (await api.patch(at, json=patch, headers={"If-Match": '"1"'})).json()
    assert (changed["name"], changed["description"], changed["version"]) == ("Reports", None, 2)
    assert changed["redirect_uris"] == [REDIRECT]
    assert (await api.patch(at, json=patch)).json()["version"] == 2  # nothing new
    (entry,) = await rows(
        shared_url,
        "SELECT changes::text FROM audit_log WHERE target_id = $1 AND changes ? 'description'",
        body["id"],
    )
    assert '"requires_pkce": true' in entry["changes"]
    assert pointers_of(await api.patch(at, json={"scopes": None})) == ["/scopes"]
    assert pointers_of(await api.patch(at, json={"kind": "public"})) == ["/kind"]
    assert pointers_of(await api.patch(at, json={"redirect_uris": []})) == ["/redirect_uris"]


async def test_a_rotated_secret_is_good_beside_the_new_one_until_its_overlap_is_over(
    api: httpx.AsyncClient, shared_url: str
) -> None:
    body = await made(api, grants=["client_credentials"], redirect_uris=[])
    at, first = f"{PATH}/{body['id']}", body["client_secret"]
    second = (await api.post(f"{at}/rotate-secret", json={"overlap": "1h"})).json()["client_secret"]
    assert second != first
    assert [await _status(api, body["id"], secret) for secret in (first, second)] == [200, 200]
    third = (await api.post(f"{at}/rotate-secret", json={"overlap": "0s"})).json()["client_secret"]
    assert [await _status(api, body["id"], secret) for secret in (first, second, third)] == [401, 401, 200]
    fourth = (await api.post(f"{at}/rotate-secret")).json()["client_secret"]
    await rows(shared_url, "UPDATE application_secrets SET expires_at = now() WHERE expires_at IS NOT NULL")
    assert [await _status(api, body["id"], secret) for secret in (third, fourth)] == [401, 200]
    assert pointers_of(await api.post(f"{at}/rotate-secret", json={"overlap": "8d"})) == ["/overlap"]
    public = await made(api, kind="public")
    problem_of(await api.post(f"{PATH}/{public['id']}/rotate-secret"), 409)


async def test_never_more_than_five_secrets(api: httpx.AsyncClient, shared_url: str) -> None:
    body = await made(api)
    for _ in range(7):
        assert (await api.post(f"{PATH}/{body['id']}/rotate-secret", json={"overlap": "7d"})).status_code == 200
    kept = await rows(shared_url, "SELECT expires_at FROM application_secrets WHERE application_id = $1", body["id"])
    assert len(kept) == 5
    assert [row["expires_at"] for row in kept].count(None) == 1


async def _status(api: httpx.AsyncClient, client_id: str, secret: str) -> int:
    form = {"grant_type": "client_credentials"}
    return (await api.post("/oauth/token", data=form, auth=(client_id, secret))).status_code


async def test_each_change_is_an_event_without_secrets(api: httpx.AsyncClient, shared_url: str) -> None:
    body = await made(api)
    at = f"{PATH}/{body['id']}"
    for action in ("disable", "disable", "enable", "rotate-secret"):
        assert (await api.post(f"{at}/{action}")).status_code == 200
    assert (await api.delete(at)).status_code == 204
    problem_of(await api.get(at), 404)
    sent = await rows(
        shared_url, "SELECT value FROM outbox WHERE position($1::bytea in value) > 0", body["id"].encode()
    )
    text = b"".join(row["value"] for row in sent)
    for name in ("created", "updated", "credentials_rotated", "deleted"):
        assert f"application.{name}".encode() in text
    assert text.count(b"application.updated") == 2
    assert body["client_secret"].encode() not in text


async def test_anothers_application_is_404_everywhere(api: httpx.AsyncClient) -> None:
    other = f"org_{uuid4().hex}"
    theirs = (await made(api, organization=other))["id"]
    for name in (theirs, UNKNOWN, "nope", "%00"):
        at = f"{PATH}/{name}"
        problem_of(await api.get(at), 404)
        problem_of(await api.patch(at, json={"name": "x"}), 404)
        problem_of(await api.delete(at), 404)
        for action in ("enable", "disable", "rotate-secret"):
            problem_of(await api.post(f"{at}/{action}"), 404)
    assert (await api.get(PATH)).json()["data"] == []
    assert (await api.get(f"{PATH}/{theirs}", headers={"Hookline-Organization": other})).status_code == 200


async def test_another_organizations_application_is_approved_listed_and_withdrawn(api: httpx.AsyncClient) -> None:
    other = f"org_{uuid4().hex}"
    theirs, own = (await made(api, organization=other))["id"], (await made(api))["id"]
    for _ in range(2):
        response = await api.post(APPROVALS, json={"client_id": theirs})
        assert response.status_code == 201, response.text
        assert response.headers["location"] == f"{APPROVALS}/{theirs}"
    (listed,) = (await api.get(APPROVALS)).json()["data"]
    assert listed == response.json()
    assert (listed["client_id"], listed["organization_id"], listed["name"]) == (theirs, other, "Reporting")
    assert (await api.get(APPROVALS, headers={"Hookline-Organization": other})).json()["data"] == []
    problem_of(await api.delete(f"{APPROVALS}/{theirs}", headers={"Hookline-Organization": other}), 404)
    problem_of(await api.post(APPROVALS, json={"client_id": own}), 409)
    for name in (UNKNOWN, "nope"):
        problem_of(await api.post(APPROVALS, json={"client_id": name}), 404)
        problem_of(await api.delete(f"{APPROVALS}/{name}"), 404)
    assert (await api.delete(f"{APPROVALS}/{theirs}")).status_code == 204
    assert (await api.get(APPROVALS)).json()["data"] == []
