"""What a client may keep: each GET has an ETag and a short life, a write shows at once (RFC 9111; 9110, 15.4.5)."""

from typing import Any

import httpx
import pytest

from api.caching import LIST_AND_ITEM_S
from tests.api.problem import problem_of
from tests.api.subscriptions.making import PATH, made

pytestmark = pytest.mark.postgres


def kept_of(response: httpx.Response) -> dict[str, Any]:
    return {name: response.headers.get(name) for name in ("etag", "cache-control", "vary")}


def document_of(api: httpx.AsyncClient) -> dict[str, Any]:
    app: Any = api._transport.app  # type: ignore[attr-defined] # httpx' ASGI transport
    return dict(app.openapi())


async def test_every_list_is_kept_for_ten_seconds_and_not_sent_twice(api: httpx.AsyncClient) -> None:
    paths = document_of(api)["paths"]
    lists = [path for path, operations in paths.items() if "get" in operations and "{" not in path]
    asked = [path for path in lists if path.startswith("/api/") and "export" not in path]
    assert len(asked) >= 6
    for path in asked:
        first = await api.get(path)
        if first.status_code != 200:  # a user's own affairs: the administrator is none
            continue
        assert first.headers["cache-control"] == f"private, max-age={LIST_AND_ITEM_S}", path
        again = await api.get(path, headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b""), path
        assert kept_of(again) == kept_of(first), path


async def test_a_write_shows_at_once_in_the_item_and_its_list(api: httpx.AsyncClient) -> None:
    at = f"{PATH}/{(await made(api))['id']}"
    before = {path: (await api.get(path)).headers["etag"] for path in (at, PATH)}
    changed = await api.patch(at, json={"description": "after"})
    assert changed.headers["cache-control"] == "no-store"
    for path, etag in before.items():
        after = await api.get(path, headers={"If-None-Match": etag})
        assert after.status_code == 200
        assert after.headers["etag"] != etag
        assert "after" in after.text
    assert (await api.get(at)).headers["etag"] == changed.headers["etag"]
    await api.delete(at)
    assert (await api.get(PATH, headers={"If-None-Match": before[PATH]})).json()["data"] == []
    problem_of(await api.get(at, headers={"If-None-Match": before[at]}), 404)


@pytest.mark.parametrize(("method", "path"), [("POST", PATH), ("GET", f"{PATH}/sub_x"), ("GET", "/api/v1/no-such")])
async def test_what_is_refused_is_not_kept(api: httpx.AsyncClient, method: str, path: str) -> None:
    response = await api.request(method, path)
    assert response.status_code >= 400
    assert response.headers["cache-control"] == "no-store"
    assert "etag" not in response.headers


async def test_answers_to_one_caller_are_not_anothers(api: httpx.AsyncClient) -> None:
    """Two organizations have different tags for lists that differ, and caches are told what they depend on."""
    await made(api)
    own = await api.get(PATH)
    other = await api.get(PATH, headers={"Hookline-Organization": "org_empty", "If-None-Match": own.headers["etag"]})
    assert (other.status_code, other.json()["data"]) == (200, [])
    assert {each.strip() for each in own.headers["vary"].split(",")} == {
        "Authorization", "Cookie", "Hookline-Organization"
    }  # fmt: skip


async def test_the_description_says_so_of_every_get(api: httpx.AsyncClient) -> None:
    document = document_of(api)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if not path.startswith("/api/"):
                continue
            answers = operation["responses"]
            is_kept = method == "get" and "application/json" in answers["200"]["content"]
            assert ("304" in answers) == is_kept, (method, path)
            assert all("RateLimit" in answer["headers"] for answer in answers.values()), (method, path)
            assert "Retry-After" in answers["429"]["headers"], (method, path)
            if is_kept:
                assert {"ETag", "Cache-Control", "Vary"} <= set(answers["304"]["headers"]), path
                assert "content" not in answers["304"], path
