"""PUT: all of a subscription but its secret is what the body says."""

from typing import Any

import httpx
import orjson
import pytest

from schemas.sealing import HEADERS_PURPOSE, SECRET_PURPOSE
from schemas.signing import key_of
from tests.api.problem import pointers_of, problem_of
from tests.api.subscriptions.making import ELSEWHERE, MINIMAL, PATH, SEALER, UNKNOWN, made, outbox_of

pytestmark = pytest.mark.postgres

FULL: dict[str, Any] = {
    "description": "old",
    "timeout_s": 5,
    "headers": {"X-A": "1", "X-B": "2"},
    "metadata": {"a": 1},
    "enabled": False,
}


async def test_what_is_left_out_gets_its_default(api: httpx.AsyncClient, shared_url: str) -> None:
    before = await made(api, **FULL)
    response = await api.put(f"{PATH}/{before['id']}", json={**MINIMAL, "event_types": ["quest.*"]})
    assert response.status_code == 200, response.text
    after = response.json()
    assert response.headers["etag"] == '"2"'
    assert (after["event_types"], after["description"], after["headers"]) == (["quest.*"], None, {})
    assert (after["timeout_s"], after["metadata"], after["enabled"], after["state"]) == (15.0, {}, True, "enabled")
    assert (after["id"], after["created_at"]) == (before["id"], before["created_at"])
    assert (await api.get(f"{PATH}/{before['id']}")).json() == after
    record = (await outbox_of(shared_url, before["id"]))[-1]
    assert record is not None
    place = {"organization": record.organization_id, "row": record.id}
    assert (record.version, record.headers, record.event_types) == (2, None, ("quest.*",))
    assert SEALER.open(record.secrets[0], **place, purpose=SECRET_PURPOSE) == key_of(before["secret"])


async def test_the_mask_takes_a_header_over_and_the_others_go(api: httpx.AsyncClient, shared_url: str) -> None:
    before = await made(api, **FULL)
    body = {**MINIMAL, "headers": {"x-a": "***", "X-C": "3"}}
    assert (await api.put(f"{PATH}/{before['id']}", json=body)).status_code == 200
    record = (await outbox_of(shared_url, before["id"]))[-1]
    assert record is not None
    assert record.headers is not None
    opened = SEALER.open(record.headers, organization=record.organization_id, row=record.id, purpose=HEADERS_PURPOSE)
    assert orjson.loads(opened) == {"x-a": "1", "X-C": "3"}


async def test_what_was_read_can_be_put_back(api: httpx.AsyncClient) -> None:
    before = await made(api, **FULL)
    at = f"{PATH}/{before['id']}"
    settings = {name: before[name] for name in (*MINIMAL, *FULL)}
    after = (await api.put(at, json=settings)).json()
    assert {name: after[name] for name in settings} == settings


@pytest.mark.parametrize(
    ("fields", "pointers"),
    [
        ({"url": None}, ["/url"]),
        ({"url": "https://10.0.0.1/"}, ["/url"]),
        ({"event_types": []}, ["/event_types"]),
        ({"event_types": ["nope"]}, ["/event_types/0"]),
        ({"headers": {"X-New": "***"}}, ["/headers"]),
        ({"headers": {"X-A": None}}, ["/headers/X-A"]),
        ({"headers": {"X-A": "1", "x-a": "2"}}, ["/headers"]),
        ({"timeout_s": 61}, ["/timeout_s"]),
        ({"enabled": None}, ["/enabled"]),
        ({"metadata": {"a": "x" * 8192}}, ["/metadata"]),
        ({"secret": "whsec_" + "AAAA" * 8}, ["/secret"]),  # changed by rotating it
        ({"id": UNKNOWN}, ["/id"]),
    ],
)
async def test_what_does_not_hold_changes_nothing(
    api: httpx.AsyncClient, fields: dict[str, object], pointers: list[str]
) -> None:
    before = await made(api, **FULL)
    assert pointers_of(await api.put(f"{PATH}/{before['id']}", json={**MINIMAL, **fields})) == pointers
    assert (await api.get(f"{PATH}/{before['id']}")).json()["version"] == 1


@pytest.mark.parametrize("missing", ["url", "event_types"])
async def test_what_is_missing_is_pointed_at(bare_api: httpx.AsyncClient, missing: str) -> None:
    body = {name: value for name, value in MINIMAL.items() if name != missing}
    assert pointers_of(await bare_api.put(f"{PATH}/{UNKNOWN}", json=body)) == [f"/{missing}"]


async def test_it_makes_none_and_takes_nobody_elses(api: httpx.AsyncClient) -> None:
    before = await made(api)
    problem_of(await api.put(f"{PATH}/{UNKNOWN}", json=MINIMAL), 404)
    problem_of(await api.put(f"{PATH}/{before['id']}", json=MINIMAL, headers=ELSEWHERE), 404)


async def test_a_version_that_is_over_is_not_replaced(api: httpx.AsyncClient) -> None:
    before = await made(api)
    at = f"{PATH}/{before['id']}"
    assert (await api.put(at, json=MINIMAL, headers={"If-Match": '"1"'})).status_code == 200
    late = await api.put(at, json={**MINIMAL, "description": "late"}, headers={"If-Match": '"1"'})
    problem_of(late, 412)
    assert late.headers["etag"] == '"2"'
    assert (await api.get(at)).json()["description"] is None
