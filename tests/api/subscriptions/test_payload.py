"""How a subscription's bodies look: given, merged, replaced, shown, kept by version, and what the workers learn."""

import json
from typing import Any

import httpx
import pytest

from tests.api.problem import pointers_of
from tests.api.subscriptions.making import MINIMAL, PATH, made, outbox_of, rows_of

pytestmark = pytest.mark.postgres

NOTHING = dict.fromkeys(("include", "exclude", "mask"))
FULL: dict[str, Any] = {
    "shape": "delivery",
    "include": ["data.id", "data.items.*.price"],
    "exclude": ["/data/first.name"],
    "mask": ["personal"],
}


async def versions_of(url: str, subscription_id: str) -> list[tuple[int, Any]]:
    rows = await rows_of(
        url, "SELECT version, payload FROM transformations WHERE subscription_id = $1 ORDER BY version", subscription_id
    )
    return [(row["version"], None if row["payload"] is None else json.loads(row["payload"])) for row in rows]


async def learned(url: str, subscription_id: str) -> tuple[Any, int]:
    """Return what the workers know of a subscription's payload, and of its version."""
    record = (await outbox_of(url, subscription_id))[-1]
    assert record is not None
    return None if record.payload is None else json.loads(record.payload), record.transformation_version


async def test_without_one_the_body_is_the_full_one(api: httpx.AsyncClient, shared_url: str) -> None:
    for given in ({}, {"payload": None}):
        body = await made(api, **given)
        assert (body["payload"], body["transformation_version"]) == (None, 0)
        assert await learned(shared_url, body["id"]) == (None, 0)
        assert await versions_of(shared_url, body["id"]) == []


async def test_workers_learn_it_and_its_version_is_kept(api: httpx.AsyncClient, shared_url: str) -> None:
    body = await made(api, payload=FULL)
    assert (body["payload"], body["transformation_version"]) == (FULL, 1)
    shown = (await api.get(f"{PATH}/{body['id']}")).json()
    assert (shown["payload"], shown["transformation_version"]) == (FULL, 1)
    assert await learned(shared_url, body["id"]) == (FULL, 1)
    assert await versions_of(shared_url, body["id"]) == [(1, FULL)]
    listed = (await api.get(PATH, params={"limit": 100})).json()["data"]
    assert [each["payload"] for each in listed if each["id"] == body["id"]] == [FULL]


async def test_its_version_rises_with_each_change_of_it_and_with_nothing_else(
    api: httpx.AsyncClient, shared_url: str
) -> None:
    at = f"{PATH}/{(await made(api, payload={'shape': 'thin'}))['id']}"
    thin = {"shape": "thin", **NOTHING}
    steps: list[tuple[str, dict[str, Any], dict[str, Any] | None, int]] = [
        ("PATCH", {"description": "x"}, thin, 1),
        ("PATCH", {"payload": {}}, thin, 1),
        ("PATCH", {"payload": {"shape": "thin"}}, thin, 1),
        ("PATCH", {"payload": {"shape": "timestamp", "exclude": ["data.x"]}},
         {"shape": "timestamp", **NOTHING, "exclude": ["data.x"]}, 2),
        ("PATCH", {"payload": {"mask": ["personal"]}},
         {"shape": "timestamp", "include": None, "exclude": ["data.x"], "mask": ["personal"]}, 3),
        ("PATCH", {"payload": {"shape": None, "exclude": None}}, {"shape": "full", **NOTHING, "mask": ["personal"]}, 4),
        ("PUT", {**MINIMAL, "payload": {"mask": ["personal"]}}, {"shape": "full", **NOTHING, "mask": ["personal"]}, 4),
        ("PUT", MINIMAL, None, 5),
        ("PATCH", {"payload": None}, None, 5),
        ("PUT", {**MINIMAL, "payload": {"shape": "thin"}}, thin, 6),
    ]  # fmt: skip
    for method, given, payload, version in steps:
        body = (await api.request(method, at, json=given)).json()
        assert (body["payload"], body["transformation_version"]) == (payload, version), (method, given)
    identifier = body["id"]
    assert await learned(shared_url, identifier) == ({"shape": "thin"}, 6)
    kept = await versions_of(shared_url, identifier)
    assert [version for version, _ in kept] == [1, 2, 3, 4, 5, 6]
    assert kept[0][1] == kept[5][1] == {"shape": "thin"}
    assert kept[4][1] is None
    assert (await api.post(f"{PATH}/bulk", json={"action": "pause", "ids": [identifier]})).is_success
    assert await learned(shared_url, identifier) == ({"shape": "thin"}, 6)  # a change of something else
    assert (await api.delete(at)).status_code == 204
    assert await versions_of(shared_url, identifier) == kept  # the log shows what was sent all the same


@pytest.mark.parametrize(
    ("payload", "pointer"),
    [
        (5, "/payload"),
        ({"url": "https://example.com"}, "/payload/url"),
        ({"method": "GET"}, "/payload/method"),
        ({"shape": "fat"}, "/payload/shape"),
        ({"include": []}, "/payload/include"),
        ({"include": ["data.id", "email"]}, "/payload/include/1"),
        ({"exclude": ["data..x"]}, "/payload/exclude/0"),
        ({"exclude": ["data.*", "data.id"]}, "/payload/exclude/1"),
        ({"exclude": ["data.id", "data.id"]}, "/payload/exclude/1"),
        ({"mask": ["secret"]}, "/payload/mask/0"),
        ({"shape": "thin", "include": ["data.id"]}, "/payload/include"),
    ],
)
async def test_what_does_not_hold_is_refused_with_a_pointer(api: httpx.AsyncClient, payload: Any, pointer: str) -> None:
    refused = await api.post(PATH, json={**MINIMAL, "payload": payload})
    assert pointers_of(refused) == [pointer]


async def test_a_patch_is_judged_as_merged(api: httpx.AsyncClient) -> None:
    at = f"{PATH}/{(await made(api, payload={'include': ['data.id']}))['id']}"
    refused = await api.patch(at, json={"payload": {"shape": "thin"}})
    assert pointers_of(refused) == ["/payload/include"]
    merged = (await api.patch(at, json={"payload": {"shape": "thin", "include": None}})).json()
    assert merged["payload"]["shape"] == "thin"
