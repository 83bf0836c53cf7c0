"""Subscriptions over REST, on the real PostgreSQL, and what the workers learn of them through the outbox."""

import asyncio
from datetime import UTC, datetime

import httpx
import orjson
import pytest

from schemas.sealing import HEADERS_PURPOSE, SECRET_PURPOSE
from schemas.signing import key_of
from tests.api.problem import pointers_of, problem_of
from tests.api.subscriptions.making import DEFAULTS, MINIMAL, PATH, SEALER, UNKNOWN, URL, made, outbox_of

pytestmark = pytest.mark.postgres


async def test_a_subscription_is_made_with_defaults_and_a_secret_shown_once(api: httpx.AsyncClient) -> None:
    response = await api.post(PATH, json=MINIMAL)
    assert response.status_code == 201
    body = response.json()
    assert response.headers["location"] == f"{PATH}/{body['id']}"
    assert response.headers["etag"] == '"1"'
    assert len(key_of(body.pop("secret"))) == 32
    created_at = datetime.fromisoformat(body["created_at"])
    assert abs((datetime.now(UTC) - created_at).total_seconds()) < 60
    assert body == {
        **MINIMAL,
        "id": body["id"],
        "description": None,
        "headers": {},
        "timeout_s": 15.0,
        "enabled": True,
        "state": "enabled",
        "disabled_reason": None,
        "disabled_at": None,
        "paused_at": None,
        **DEFAULTS,
        "delivering": {"state": "live", "reason": None, "since": None, "not_before": None},
        "filters": [],
        "filter_errors": {
            "count": 0,
            "last_error": None,
            "last_event_id": None,
            "last_at": None,
            "since_version": 1,
        },
        "payload": None,
        "transformation_version": 0,
        "metadata": {},
        "version": 1,
        "created_at": body["created_at"],
        "updated_at": body["updated_at"],
    }
    assert (await api.get(response.headers["location"])).json() == body


async def test_workers_learn_all_of_it_sealed(api: httpx.AsyncClient, shared_url: str) -> None:
    body = await made(
        api, event_types=["user.*", "quest.completed"], headers={"X-Key": "value"}, timeout_s=2.5, enabled=False
    )
    [record] = await outbox_of(shared_url, body["id"])
    assert record is not None
    organization_id = api.headers["Hookline-Organization"]
    place = {"organization": organization_id, "row": body["id"]}
    assert [SEALER.open(secret, **place, purpose=SECRET_PURPOSE) for secret in record.secrets] == [
        key_of(body["secret"])
    ]
    assert record.headers is not None
    assert orjson.loads(SEALER.open(record.headers, **place, purpose=HEADERS_PURPOSE)) == {"X-Key": "value"}
    assert (record.organization_id, record.version, record.url) == (organization_id, 1, URL)
    assert (record.event_types, record.timeout_ms) == (("user.*", "quest.completed"), 2500)
    assert (record.enabled, record.disabled_reason) == (False, "manual")
    assert record.updated_at.isoformat().replace("+00:00", "Z") == body["updated_at"]


async def test_neither_secret_nor_header_values_are_shown_again(api: httpx.AsyncClient) -> None:
    body = await made(api, headers={"Authorization": "Bearer their-password"})
    at = f"{PATH}/{body['id']}"
    answers = [await api.get(at), await api.get(PATH), await api.patch(at, json={"description": "x"})]
    for answer in answers:
        assert body["secret"] not in answer.text
        assert "their-password" not in answer.text
        assert '"Authorization":"***"' in answer.text


@pytest.mark.parametrize(
    ("secret", "kept"),
    [
        ("whsec_" + "AAAA" * 8, "whsec_" + "AAAA" * 8),
        ("00" * 32, "whsec_" + "MDAw" * 21 + "MA=="),  # an older system's, as the 64 characters it is
    ],
)
async def test_a_caller_may_bring_a_secret(api: httpx.AsyncClient, secret: str, kept: str) -> None:
    assert (await made(api, secret=secret))["secret"] == kept


@pytest.mark.parametrize(
    ("fields", "pointers"),
    [
        ({"url": None}, ["/url"]),
        ({"url": ""}, ["/url"]),
        ({"url": 1}, ["/url"]),
        ({"url": "http://93.184.216.34/"}, ["/url"]),  # plain http is for development
        ({"url": "https://127.0.0.1/"}, ["/url"]),
        ({"url": "https://169.254.169.254/latest/meta-data"}, ["/url"]),
        ({"url": "https://[::ffff:10.0.0.1]/"}, ["/url"]),
        ({"url": "https://user:password@example.com/"}, ["/url"]),
        ({"url": "https://93.184.216.34/" + "x" * 2048}, ["/url"]),
        ({"event_types": []}, ["/event_types"]),
        ({"event_types": "user.created"}, ["/event_types"]),
        ({"event_types": ["user.created", "user.created"]}, ["/event_types"]),
        ({"event_types": ["user.created", "nope", 1, "*.x"]}, ["/event_types/2", "/event_types/3"]),
        ({"event_types": ["user.created"] * 101}, ["/event_types"]),
        ({"description": 1}, ["/description"]),
        ({"description": "x" * 1001}, ["/description"]),
        ({"headers": []}, ["/headers"]),
        ({"headers": {"Host": "x"}}, ["/headers"]),
        ({"headers": {"X-A": 1}}, ["/headers/X-A"]),
        ({"headers": {"X-A": None}}, ["/headers/X-A"]),
        ({"headers": {"X-A": "***"}}, ["/headers"]),
        ({"headers": {"X-A": "a\r\nb"}}, ["/headers"]),
        ({"timeout_s": 0.9}, ["/timeout_s"]),
        ({"timeout_s": 60.1}, ["/timeout_s"]),
        ({"timeout_s": "15"}, ["/timeout_s"]),
        ({"timeout_s": True}, ["/timeout_s"]),
        ({"enabled": "yes"}, ["/enabled"]),
        ({"enabled": 1}, ["/enabled"]),
        ({"metadata": []}, ["/metadata"]),
        ({"metadata": {"a": "x" * 8192}}, ["/metadata"]),
        ({"metadata": {"a": 2**64}}, ["/metadata"]),
        ({"secret": "short"}, ["/secret"]),
        ({"unknown": 1}, ["/unknown"]),
        ({"id": UNKNOWN}, ["/id"]),
        ({"a/b~c": 1}, ["/a~1b~0c"]),
        ({"url": 1, "enabled": 2, "x": 3}, ["/url", "/enabled", "/x"]),
    ],
)
async def test_what_does_not_hold_is_pointed_at(
    bare_api: httpx.AsyncClient, fields: dict[str, object], pointers: list[str]
) -> None:
    assert sorted(pointers_of(await bare_api.post(PATH, json={**MINIMAL, **fields}))) == sorted(pointers)


@pytest.mark.parametrize("missing", ["url", "event_types"])
async def test_what_is_missing_is_pointed_at(bare_api: httpx.AsyncClient, missing: str) -> None:
    body = {name: value for name, value in MINIMAL.items() if name != missing}
    assert pointers_of(await bare_api.post(PATH, json=body)) == [f"/{missing}"]


async def test_a_refusal_repeats_no_secret(bare_api: httpx.AsyncClient) -> None:
    fields = {
        "secret": "whsec_their-own-secret",
        "headers": {"X-A": "their-password\n"},
        "url": "https://a:their-pw@b/",
    }
    response = await bare_api.post(PATH, json={**MINIMAL, **fields})
    assert response.status_code == 422
    assert "their-" not in response.text


async def test_null_is_the_same_as_leaving_an_optional_field_out(api: httpx.AsyncClient) -> None:
    optional = ("description", "headers", "timeout_s", "metadata", "secret")
    body = await made(api, **dict.fromkeys(optional))
    assert (body["description"], body["headers"], body["timeout_s"], body["metadata"]) == (None, {}, 15.0, {})


async def test_development_allows_plain_http_on_loopback(development_api: httpx.AsyncClient) -> None:
    assert (await made(development_api, url="http://127.0.0.1:9/x"))["url"] == "http://127.0.0.1:9/x"


@pytest.mark.parametrize(
    ("patch", "changed"),
    [
        ({"url": "https://93.184.216.35"}, {"url": "https://93.184.216.35/"}),
        ({"event_types": ["*"]}, {"event_types": ["*"]}),
        ({"description": "new"}, {"description": "new"}),
        ({"description": None}, {"description": None}),
        ({"timeout_s": 1}, {"timeout_s": 1.0}),
        ({"timeout_s": None}, {"timeout_s": 15.0}),
        ({"enabled": False}, {"enabled": False, "state": "disabled", "disabled_reason": "manual"}),
        ({"headers": {"x-a": None, "X-B": "2"}}, {"headers": {"X-B": "***"}}),
        ({"headers": {"X-A": "***"}}, {}),
        ({"headers": None}, {"headers": {}}),
        ({"metadata": {"a": {"b": None, "c": 1}}}, {"metadata": {"a": {"c": 1}}}),
        ({"metadata": None}, {"metadata": {}}),
    ],
)
async def test_a_patch_changes_what_it_names_and_nothing_else(
    api: httpx.AsyncClient, shared_url: str, patch: dict[str, object], changed: dict[str, object]
) -> None:
    before = await made(api, description="old", timeout_s=5, headers={"X-A": "1"}, metadata={"a": {"b": 1}})
    before.pop("secret")
    response = await api.patch(f"{PATH}/{before['id']}", json=patch)
    after = response.json()
    assert response.status_code == 200, response.text
    assert response.headers["etag"] == '"2"'
    assert after["updated_at"] > before["updated_at"]
    assert (after["disabled_at"] is None) == after["enabled"]
    own = {"version": 2, "updated_at": after["updated_at"], "disabled_at": after["disabled_at"]}
    assert after == {**before, **changed, **own}
    assert (await api.get(f"{PATH}/{before['id']}")).json() == after
    records = await outbox_of(shared_url, before["id"])
    assert [record and record.version for record in records] == [1, 2]
    assert records[1] is not None
    assert records[1].url == after["url"]
    assert list(records[1].event_types) == after["event_types"]
    assert records[1].timeout_ms == after["timeout_s"] * 1000


async def test_a_kept_header_keeps_its_value(api: httpx.AsyncClient, shared_url: str) -> None:
    body = await made(api, headers={"X-A": "1"})
    await api.patch(f"{PATH}/{body['id']}", json={"headers": {"X-A": "***", "X-B": "2"}})
    record = (await outbox_of(shared_url, body["id"]))[-1]
    assert record is not None
    assert record.headers is not None
    opened = SEALER.open(record.headers, organization=record.organization_id, row=body["id"], purpose=HEADERS_PURPOSE)
    assert orjson.loads(opened) == {"X-A": "1", "X-B": "2"}


@pytest.mark.parametrize("enabled", [True, False])
async def test_enabling_forgets_why_it_was_disabled(api: httpx.AsyncClient, *, enabled: bool) -> None:
    body = await made(api, enabled=enabled)
    at = f"{PATH}/{body['id']}"
    assert (await api.patch(at, json={"enabled": False})).json()["disabled_reason"] == "manual"
    assert (await api.patch(at, json={"enabled": True})).json()["disabled_reason"] is None


@pytest.mark.parametrize(
    ("patch", "pointers"),
    [
        ({"url": None}, ["/url"]),
        ({"url": "https://10.0.0.1/"}, ["/url"]),
        ({"event_types": None}, ["/event_types"]),
        ({"event_types": []}, ["/event_types"]),
        ({"enabled": None}, ["/enabled"]),
        ({"headers": {"X-New": "***"}}, ["/headers"]),
        ({"headers": {"Host": None}}, ["/headers"]),
        ({"metadata": {"big": "x" * 8192}}, ["/metadata"]),
        ({"metadata": {"a": 2**64}}, ["/metadata"]),
        ({"secret": "whsec_" + "AAAA" * 8}, ["/secret"]),  # changed by rotating it
        ({"version": 7}, ["/version"]),
    ],
)
async def test_a_patch_that_does_not_hold_changes_nothing(
    api: httpx.AsyncClient, shared_url: str, patch: dict[str, object], pointers: list[str]
) -> None:
    body = await made(api)
    assert pointers_of(await api.patch(f"{PATH}/{body['id']}", json=patch)) == pointers
    assert (await api.get(f"{PATH}/{body['id']}")).json()["version"] == 1
    assert len(await outbox_of(shared_url, body["id"])) == 1


async def test_a_patch_that_names_nothing_writes_nothing(api: httpx.AsyncClient, shared_url: str) -> None:
    body = await made(api)
    response = await api.patch(f"{PATH}/{body['id']}", json={})
    assert (response.status_code, response.json()["version"]) == (200, 1)
    assert len(await outbox_of(shared_url, body["id"])) == 1


async def test_twenty_patches_at_once_are_twenty_versions_in_order(api: httpx.AsyncClient, shared_url: str) -> None:
    body = await made(api)
    at = f"{PATH}/{body['id']}"
    answers = await asyncio.gather(*(api.patch(at, json={"description": str(number)}) for number in range(20)))
    assert {answer.json()["version"] for answer in answers} == set(range(2, 22))
    records = await outbox_of(shared_url, body["id"])
    assert [record and record.version for record in records] == list(range(1, 22))


async def test_a_deleted_subscription_is_gone_and_workers_get_a_tombstone(
    api: httpx.AsyncClient, shared_url: str
) -> None:
    body = await made(api)
    at = f"{PATH}/{body['id']}"
    response = await api.delete(at)
    assert (response.status_code, response.content) == (204, b"")
    assert (await outbox_of(shared_url, body["id"]))[1:] == [None]
    for gone in (await api.get(at), await api.patch(at, json={"enabled": True}), await api.delete(at)):
        problem_of(gone, 404)


@pytest.mark.parametrize("path", [f"{PATH}/{UNKNOWN}", f"{PATH}/nope", f"{PATH}/evt_019a9f2b6c7d7e8f9a0b1c2d3e4f5a6b"])
async def test_what_is_not_there_is_404(api: httpx.AsyncClient, path: str) -> None:
    for response in (await api.get(path), await api.patch(path, json={"enabled": True}), await api.delete(path)):
        problem_of(response, 404)


async def test_another_organizations_subscription_is_not_there(api: httpx.AsyncClient, shared_url: str) -> None:
    body = await made(api)
    at, other = f"{PATH}/{body['id']}", {"Hookline-Organization": "org_nobodys"}
    problem_of(await api.get(at, headers=other), 404)
    problem_of(await api.patch(at, json={"enabled": False}, headers=other), 404)
    problem_of(await api.delete(at, headers=other), 404)
    assert (await api.get(PATH, headers=other)).json()["data"] == []
    assert (await api.get(at)).json()["version"] == 1
    assert len(await outbox_of(shared_url, body["id"])) == 1


async def test_pages_hold_each_subscription_once_oldest_first(api: httpx.AsyncClient) -> None:
    ids = [(await made(api))["id"] for _ in range(5)]
    await api.post(PATH, json=MINIMAL, headers={"Hookline-Organization": "org_other"})
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await api.get(PATH, params={"limit": 2, **({"cursor": cursor} if cursor else {})})).json()
        assert page["has_more"] is (page["next_cursor"] is not None)
        seen += [item["id"] for item in page["data"]]
        cursor = page["next_cursor"]
    assert seen == ids


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, "abcd"),
        ({"state": "enabled"}, "abc"),
        ({"state": "disabled"}, "d"),
        ({"event_type": "user.created"}, "ab"),
        ({"event_type": "user.deleted"}, "b"),
        ({"event_type": "user.*"}, "b"),
        ({"event_type": "quest.completed"}, "cd"),
        ({"event_type": "no.such"}, ""),
        ({"text": "ALPHA"}, "a"),
        ({"text": "93.184.216.34/in"}, "abcd"),
        ({"text": "100%"}, "b"),  # no wildcard
        ({"text": "_"}, "c"),
        ({"text": "\\"}, ""),
        ({"text": "alpha", "state": "disabled"}, ""),
        ({"event_type": "quest.completed", "state": "disabled"}, "d"),
    ],
)
async def test_filters_find_what_they_name(api: httpx.AsyncClient, query: dict[str, str], found: str) -> None:
    names = {
        (await made(api, event_types=["user.created"], description="Alpha"))["id"]: "a",
        (await made(api, event_types=["user.*"], description="100% sure"))["id"]: "b",
        (await made(api, event_types=["quest.*"], description="snake_case"))["id"]: "c",
        (await made(api, event_types=["quest.completed"], enabled=False))["id"]: "d",
    }
    page = (await api.get(PATH, params=query)).json()
    assert "".join(names[item["id"]] for item in page["data"]) == found


async def test_conditions_on_versions_hold(api: httpx.AsyncClient, shared_url: str) -> None:
    body = await made(api)
    at = f"{PATH}/{body['id']}"
    same = await api.get(at, headers={"If-None-Match": '"1"'})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", '"1"')
    assert (await api.patch(at, json={"description": "x"}, headers={"If-Match": '"1"'})).status_code == 200
    late = await api.patch(at, json={"description": "y"}, headers={"If-Match": '"1"'})
    problem_of(late, 412)
    assert late.headers["etag"] == '"2"'
    problem_of(await api.delete(at, headers={"If-Match": '"1"'}), 412)
    problem_of(await api.get(at, headers={"If-Match": '"1"'}), 412)
    assert (await api.get(at, headers={"If-None-Match": '"1"'})).json()["description"] == "x"
    assert (await api.delete(at, headers={"If-Match": '"2"'})).status_code == 204
    assert len(await outbox_of(shared_url, body["id"])) == 3
