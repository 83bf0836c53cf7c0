"""How a subscription is sent to: given, merged, replaced, shown, and what the workers learn of it."""

from typing import Any

import httpx
import pytest

from schemas.records import OnExhaustion, Ordering, SignatureStyle, Subscription
from tests.api.problem import pointers_of, problem_of
from tests.api.subscriptions.making import DEFAULTS, MINIMAL, PATH, UNKNOWN, URL, made, outbox_of, rows_of

pytestmark = pytest.mark.postgres

FULL: dict[str, Any] = {
    "rate_limit": {"limit": 600, "per": "minute"},
    "max_in_flight": 3,
    "catch_up_rate_per_s": 12.5,
    "ordering": "per_key",
    "on_exhaustion": "block",
    "allowed_addresses": ["93.184.216.0/24", "2600:1f00::/24"],
    "signature": {"style": "timestamped", "header": "X-Optio-Signature"},
    "event_type_header": "X-Optio-Event",
    "delivery_id_header": "X-Optio-Delivery",
}


def learned(record: Subscription | None) -> dict[str, Any]:
    """Return what the workers know of the settings, under the names that REST has for them."""
    assert record is not None
    period = {1: "second", 60: "minute"}[record.rate_period_s]
    return {
        "rate_limit": None if record.rate_limit is None else {"limit": record.rate_limit, "per": period},
        "max_in_flight": record.most_in_flight or None,
        "catch_up_rate_per_s": record.catch_up_per_s,
        "ordering": record.ordering.value,
        "on_exhaustion": record.on_exhaustion.value,
        "allowed_addresses": [*record.allowed_addresses],
        "signature": {"style": record.signature_style.value, "header": record.signature_header},
        "event_type_header": record.event_type_header,
        "delivery_id_header": record.delivery_id_header,
    }


def settings_in(body: dict[str, Any]) -> dict[str, Any]:
    return {name: body[name] for name in DEFAULTS}


async def test_without_any_it_is_sent_to_as_before(api: httpx.AsyncClient, shared_url: str) -> None:
    nothing: list[dict[str, Any]] = [{}, dict.fromkeys(DEFAULTS), {"signature": {}}]
    for given in nothing:
        body = await made(api, **given)
        assert settings_in(body) == DEFAULTS
        [record] = await outbox_of(shared_url, body["id"])
        assert learned(record) == DEFAULTS


async def test_workers_learn_all_of_them(api: httpx.AsyncClient, shared_url: str) -> None:
    body = await made(api, **FULL)
    assert settings_in(body) == FULL
    assert settings_in((await api.get(f"{PATH}/{body['id']}")).json()) == FULL
    [record] = await outbox_of(shared_url, body["id"])
    assert learned(record) == FULL
    assert record is not None
    assert (record.ordering, record.on_exhaustion) == (Ordering.PER_KEY, OnExhaustion.BLOCK)
    assert record.signature_style is SignatureStyle.TIMESTAMPED


async def test_replacing_takes_what_is_left_out_back_to_its_default(api: httpx.AsyncClient, shared_url: str) -> None:
    at = f"{PATH}/{(await made(api, **FULL))['id']}"
    some = {"ordering": "strict", "signature": {"header": "X-S"}}
    after = (await api.put(at, json={**MINIMAL, **some})).json()
    expected = {**DEFAULTS, "ordering": "strict", "signature": {"style": "standard", "header": "X-S"}}
    assert settings_in(after) == expected
    assert learned((await outbox_of(shared_url, after["id"]))[-1]) == expected
    assert settings_in((await api.put(at, json={**MINIMAL, **settings_in(await made(api, **FULL))})).json()) == FULL


@pytest.mark.parametrize(
    ("patch", "changed"),
    [
        ({"description": "x"}, {}),
        (dict.fromkeys(DEFAULTS), DEFAULTS),
        ({"rate_limit": {"limit": 5}}, {"rate_limit": {"limit": 5, "per": "minute"}}),
        ({"rate_limit": {"per": "second"}}, {"rate_limit": {"limit": 600, "per": "second"}}),
        ({"rate_limit": {}}, {}),
        ({"signature": {"style": "hex"}}, {"signature": {"style": "hex", "header": "X-Optio-Signature"}}),
        ({"signature": {"header": None}}, {"signature": {"style": "timestamped", "header": None}}),
        ({"signature": {"style": None}}, {"signature": {"style": "standard", "header": "X-Optio-Signature"}}),
        ({"allowed_addresses": ["93.184.216.34"]}, {"allowed_addresses": ["93.184.216.34/32"]}),
        ({"max_in_flight": 1000, "ordering": "strict"}, {"max_in_flight": 1000, "ordering": "strict"}),
    ],
)
async def test_a_patch_is_merged(
    api: httpx.AsyncClient, shared_url: str, patch: dict[str, Any], changed: dict[str, Any]
) -> None:
    at = f"{PATH}/{(await made(api, **FULL))['id']}"
    after = (await api.patch(at, json=patch)).json()
    assert settings_in(after) == {**FULL, **changed}
    assert learned((await outbox_of(shared_url, after["id"]))[-1]) == {**FULL, **changed}


@pytest.mark.parametrize(
    ("fields", "pointers"),
    [
        ({"rate_limit": 5}, ["/rate_limit"]),
        ({"rate_limit": {"limit": 5, "per": "hour"}}, ["/rate_limit/per"]),
        ({"rate_limit": {"limit": 0, "per": "second"}}, ["/rate_limit/limit"]),
        ({"rate_limit": {"limit": 100_001, "per": "second"}}, ["/rate_limit/limit"]),
        ({"rate_limit": {"limit": 1.5, "per": "second"}}, ["/rate_limit/limit"]),
        ({"rate_limit": {"limit": "5", "per": "second"}}, ["/rate_limit/limit"]),
        ({"rate_limit": {"limit": 5, "per": "second", "burst": 1}}, ["/rate_limit/burst"]),
        ({"max_in_flight": 0}, ["/max_in_flight"]),
        ({"max_in_flight": 1001}, ["/max_in_flight"]),
        ({"catch_up_rate_per_s": 0}, ["/catch_up_rate_per_s"]),
        ({"catch_up_rate_per_s": 1e-300}, ["/catch_up_rate_per_s"]),
        ({"catch_up_rate_per_s": 10_001}, ["/catch_up_rate_per_s"]),
        ({"catch_up_rate_per_s": True}, ["/catch_up_rate_per_s"]),
        ({"ordering": "by_key"}, ["/ordering"]),
        ({"ordering": True}, ["/ordering"]),
        ({"on_exhaustion": "retry"}, ["/on_exhaustion"]),
        ({"allowed_addresses": "8.8.8.0/24"}, ["/allowed_addresses"]),
        ({"allowed_addresses": ["8.8.8.0/24", "8.8.8.8/24"]}, ["/allowed_addresses/1"]),  # not the block's first
        ({"allowed_addresses": ["example.com"]}, ["/allowed_addresses/0"]),
        ({"allowed_addresses": [f"9.9.{number}.0/24" for number in range(51)]}, ["/allowed_addresses"]),
        ({"allowed_addresses": ["8.8.8.0/24"]}, ["/allowed_addresses"]),  # where the URL does not lead
        ({"signature": "hex"}, ["/signature"]),
        ({"signature": {"style": "md5"}}, ["/signature/style"]),
        ({"signature": {"header": "a b"}}, ["/signature/header"]),
        ({"signature": {"header": "Host"}}, ["/signature/header"]),
        ({"signature": {"prefix": "x"}}, ["/signature/prefix"]),
        ({"event_type_header": "webhook-id"}, ["/event_type_header"]),
        ({"event_type_header": "X-A\r\nX-B"}, ["/event_type_header"]),
        ({"delivery_id_header": ""}, ["/delivery_id_header"]),
        ({"event_type_header": "X-A", "delivery_id_header": "x-a"}, ["/delivery_id_header"]),
        ({"signature": {"header": "X-A"}, "event_type_header": "x-a"}, ["/event_type_header"]),
        ({"signature": {"header": "X-A"}, "headers": {"x-a": "1"}}, ["/signature/header"]),
        ({"signature": {"style": "hex"}, "headers": {"X-Hub-Signature-256": "1"}}, ["/signature/header"]),
        ({"paused": True}, ["/paused"]),
    ],
)
async def test_what_does_not_hold_is_pointed_at_and_changes_nothing(
    api: httpx.AsyncClient, fields: dict[str, Any], pointers: list[str]
) -> None:
    before = await made(api)
    at = f"{PATH}/{before['id']}"
    for response in (
        await api.post(PATH, json={**MINIMAL, **fields}),
        await api.put(at, json={**MINIMAL, **fields}),
        await api.patch(at, json=fields),
    ):
        assert pointers_of(response) == pointers
    assert (await api.get(at)).json()["version"] == 1


@pytest.mark.parametrize(
    ("patch", "pointers"),
    [
        ({"headers": {"x-optio-event": "1"}}, ["/event_type_header"]),
        ({"signature": {"header": "x-optio-delivery"}}, ["/delivery_id_header"]),
        ({"url": "https://93.184.215.14/"}, ["/allowed_addresses"]),
        ({"rate_limit": {"limit": None}}, ["/rate_limit/limit"]),  # a rate limit has one
    ],
)
async def test_the_merged_whole_must_hold(api: httpx.AsyncClient, patch: dict[str, Any], pointers: list[str]) -> None:
    at = f"{PATH}/{(await made(api, **FULL))['id']}"
    assert pointers_of(await api.patch(at, json=patch)) == pointers
    assert settings_in((await api.get(at)).json()) == FULL


@pytest.mark.parametrize(
    ("half", "pointer"), [({"limit": 5}, "/rate_limit/per"), ({"per": "second"}, "/rate_limit/limit")]
)
async def test_half_a_rate_limit_needs_the_other_half(
    api: httpx.AsyncClient, half: dict[str, Any], pointer: str
) -> None:
    at = f"{PATH}/{(await made(api))['id']}"
    assert pointers_of(await api.patch(at, json={"rate_limit": half})) == [pointer]
    assert pointers_of(await api.post(PATH, json={**MINIMAL, "rate_limit": half})) == [pointer]


async def test_a_row_of_the_release_before_is_sent_to_as_before(api: httpx.AsyncClient, shared_url: str) -> None:
    await rows_of(
        shared_url,
        """INSERT INTO subscriptions (id, organization_id, version, url, event_types, secrets, secrets_expire_at,
                                      timeout_ms, enabled, metadata, created_at, updated_at)
           VALUES ($1, $2, 1, $3, '{*}', '{}', '{}', 1000, true, '{}', now(), now())""",
        UNKNOWN,
        api.headers["Hookline-Organization"],
        URL,
    )
    shown = (await api.get(f"{PATH}/{UNKNOWN}")).json()
    assert (settings_in(shown), shown["state"], shown["paused_at"]) == (DEFAULTS, "enabled", None)
    assert (await api.post(f"{PATH}/{UNKNOWN}/pause")).json()["state"] == "paused"
    problem_of(await api.post(f"{PATH}/{UNKNOWN}/pause", headers={"If-Match": '"1"'}), 412)
    await api.delete(f"{PATH}/{UNKNOWN}")
