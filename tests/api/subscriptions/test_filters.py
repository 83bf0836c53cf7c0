"""Filters over REST: given, replaced, refused with a pointer, shown, what the workers learn, and how they fail."""

from typing import Any

import httpx
import pytest

from schemas.filters.expressions import is_available
from schemas.records import Subscription
from tests.api.problem import pointers_of
from tests.api.subscriptions.making import ELSEWHERE, MINIMAL, PATH, made, outbox_of, rows_of

pytestmark = pytest.mark.postgres

SOME: list[dict[str, Any]] = [
    {"prefix": {"source": "/services/", "subject": "u"}},
    {"any": [{"exact": {"type": "user.created"}}, {"not": {"suffix": {"type": ".deleted"}}}]},
]
NONE = {"count": 0, "last_error": None, "last_event_id": None, "last_at": None, "since_version": 1}
WITH_CEL = pytest.mark.skipif(not is_available(), reason="cel-expr-python has no wheel for this machine")


async def learned(url: str, subscription_id: str) -> list[str | None]:
    records = await outbox_of(url, subscription_id)
    return [record.filters for record in records if isinstance(record, Subscription)]


async def shown(api: httpx.AsyncClient, subscription_id: str) -> dict[str, Any]:
    response = await api.get(f"{PATH}/{subscription_id}")
    body: dict[str, Any] = response.json()
    return {**body, "etag": response.headers["etag"]}


async def failed(url: str, body: dict[str, Any], *, version: int, count: int = 3) -> None:
    """Write what the projection would have."""
    await rows_of(
        url,
        """INSERT INTO filter_errors SELECT id, $2, organization_id, $3, 'no such key', 'evt_1', '2026-11-22T01:00:00Z'
           FROM subscriptions WHERE id = $1""",
        body["id"],
        version,
        count,
    )


async def test_without_any_it_wants_every_event(api: httpx.AsyncClient, shared_url: str) -> None:
    nothing: list[dict[str, Any]] = [{}, {"filters": None}, {"filters": []}]
    for given in nothing:
        body = await made(api, **given)
        assert (body["filters"], body["filter_errors"]) == ([], NONE)
        assert await learned(shared_url, body["id"]) == [None]


async def test_workers_learn_the_one_text_of_what_was_given(api: httpx.AsyncClient, shared_url: str) -> None:
    body = await made(api, filters=SOME)
    assert body["filters"] == SOME
    assert (await shown(api, body["id"]))["filters"] == SOME
    patched = await api.patch(f"{PATH}/{body['id']}", json={"description": "x"})
    assert patched.json()["filters"] == SOME
    [first, second] = await learned(shared_url, body["id"])
    assert first == second  # whatever order jsonb gives to names
    assert first == (
        '[{"prefix":{"source":"/services/","subject":"u"}},'
        '{"any":[{"exact":{"type":"user.created"}},{"not":{"suffix":{"type":".deleted"}}}]}]'
    )


async def test_they_are_replaced_as_a_whole_and_taken_away(api: httpx.AsyncClient, shared_url: str) -> None:
    body = await made(api, filters=SOME)
    at, other = f"{PATH}/{body['id']}", [{"exact": {"subject": "u1"}}]
    changes: list[dict[str, Any]] = [{"filters": other}, {"filters": []}, {"filters": SOME}, {"filters": None}]
    for change in changes:
        assert (await api.patch(at, json=change)).json()["filters"] == (change["filters"] or [])
    replaced = await api.put(at, json={**MINIMAL, "filters": other})
    assert replaced.json()["filters"] == other
    assert (await api.put(at, json=MINIMAL)).json()["filters"] == []
    texts = await learned(shared_url, body["id"])
    assert texts[1:] == ['[{"exact":{"subject":"u1"}}]', None, texts[0], None, '[{"exact":{"subject":"u1"}}]', None]


@pytest.mark.parametrize(
    ("filters", "pointer"),
    [
        ("exact", "/filters"),
        (["exact"], "/filters/0"),
        ([{"exact": {"type": "a"}}, {"sql": "TRUE"}], "/filters/1/sql"),
        ([{"all": [{"exact": {"type": ""}}]}], "/filters/0/all/0/exact/type"),
        ([{"exact": {"type": "a"}}] * 51, "/filters"),
        pytest.param([{"cel": "data.a >"}], "/filters/0/cel", marks=WITH_CEL),
        pytest.param([{"exact": {"type": "a"}}, {"cel": "data.amount"}], "/filters/1/cel", marks=WITH_CEL),
    ],
)
async def test_what_is_no_filter_is_refused_with_a_pointer(filters: Any, pointer: str, api: httpx.AsyncClient) -> None:
    own = await made(api)
    asked: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", PATH, MINIMAL),
        ("PUT", f"{PATH}/{own['id']}", MINIMAL),
        ("PATCH", f"{PATH}/{own['id']}", {}),
    ]
    for method, path, rest in asked:
        response = await api.request(method, path, json={**rest, "filters": filters})
        assert pointers_of(response) == [pointer]
    assert (await shown(api, own["id"]))["version"] == 1


async def test_failures_are_shown_to_the_owner_alone(api: httpx.AsyncClient, shared_url: str) -> None:
    body = await made(api, filters=SOME)
    await failed(shared_url, body, version=1)
    await failed(shared_url, body, version=2, count=4)  # of a later version with the same filters
    seen = await shown(api, body["id"])
    assert seen["filter_errors"] == {
        "count": 7,
        "last_error": "no such key",
        "last_event_id": "evt_1",
        "last_at": "2026-11-22T01:00:00Z",
        "since_version": 1,
    }
    assert seen["etag"] == '"1-7"'
    listed = (await api.get(PATH, params={"limit": 100})).json()["data"]
    assert {one["filter_errors"]["count"] for one in listed if one["id"] == body["id"]} == {7}
    assert (await api.get(f"{PATH}/{body['id']}", headers=ELSEWHERE)).status_code in (403, 404)


async def test_other_filters_are_counted_anew_and_the_same_ones_are_not(
    api: httpx.AsyncClient, shared_url: str
) -> None:
    body = await made(api, filters=SOME)
    at = f"{PATH}/{body['id']}"
    await failed(shared_url, body, version=1)
    for change in ({"description": "x"}, {"filters": SOME}):
        errors = (await api.patch(at, json=change)).json()["filter_errors"]
        assert (errors["count"], errors["since_version"]) == (3, 1)
    changed = (await api.patch(at, json={"filters": [{"exact": {"subject": "u1"}}]})).json()
    assert changed["filter_errors"] == {**NONE, "since_version": 4}
    await failed(shared_url, body, version=3)  # told late, of the filters before
    await failed(shared_url, body, version=4, count=1)
    assert (await shown(api, body["id"]))["filter_errors"]["count"] == 1


async def test_what_failed_goes_with_the_subscription(api: httpx.AsyncClient, shared_url: str) -> None:
    body = await made(api, filters=SOME)
    await failed(shared_url, body, version=1)
    assert (await api.delete(f"{PATH}/{body['id']}")).status_code == 204
    assert await rows_of(shared_url, "SELECT * FROM filter_errors WHERE subscription_id = $1", body["id"]) == []


async def test_two_stars_are_a_pattern(api: httpx.AsyncClient) -> None:
    body = await made(api, event_types=["user.**"])
    assert body["event_types"] == ["user.**"]
    found = (await api.get(PATH, params={"event_type": "user.created", "limit": 100})).json()["data"]
    assert body["id"] in {one["id"] for one in found}
