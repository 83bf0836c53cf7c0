"""Nobody gets more through an application than they have: not by its scopes, its redirect URIs or its secret."""

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from tests.api.applications.test_routes import GIVEN, PATH
from tests.api.oauth.granting import Server, server_of
from tests.api.problem import pointers_of, problem_of

pytestmark = pytest.mark.postgres


@pytest_asyncio.fixture
async def server(shared_url: str) -> AsyncIterator[Server]:
    async with server_of(shared_url) as made:
        yield made


async def developer(server: Server) -> dict[str, str]:
    """Return the headers of a machine that may do what a developer may."""
    scopes = ["read", "clients:read", "clients:create", "clients:update"]
    client = await server.client(scopes=scopes, grants=["client_credentials"])
    return {"Authorization": f"Bearer {await server.of_client(client)}"}


async def test_scopes_beyond_ones_own_cannot_be_given(server: Server) -> None:
    headers = await developer(server)
    response = await server.anonymous.post(PATH, json=GIVEN, headers=headers)
    assert response.status_code == 201
    own = f"{PATH}/{response.json()['id']}"
    beyond = {**GIVEN, "scopes": ["members:*"]}
    assert pointers_of(await server.anonymous.post(PATH, json=beyond, headers=headers)) == ["/scopes"]
    assert pointers_of(await server.anonymous.patch(own, json={"scopes": ["*"]}, headers=headers)) == ["/scopes"]
    wider = {"scopes": ["members:read"]}
    assert pointers_of(await server.anonymous.patch(own, json=wider, headers=headers)) == ["/scopes"]
    problem_of(await server.anonymous.delete(own, headers=headers), 403)


async def test_an_application_that_may_more_cannot_be_taken_over(server: Server) -> None:
    headers = await developer(server)
    greater = await server.client(scopes=["members:*"])
    at = f"{PATH}/{greater.id}"

    async def patched(**fields: object) -> httpx.Response:
        return await server.anonymous.patch(at, json=fields, headers=headers)

    assert pointers_of(await patched(redirect_uris=["https://mine.example/"])) == ["/scopes"]
    assert pointers_of(await patched(requires_pkce=False)) == ["/scopes"]
    assert pointers_of(await server.anonymous.post(f"{at}/rotate-secret", headers=headers)) == ["/scopes"]
    assert (await patched(name="Another name")).status_code == 200
    assert (await server.admin.get(at)).json()["redirect_uris"] == ["https://client.example/callback"]
