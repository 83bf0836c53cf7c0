"""The delivery log over REST, on the real PostgreSQL: filters, pages, and one delivery with its attempts."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from schemas.error_kinds import ErrorKind
from schemas.ids import new_event_id, new_subscription_id
from tests.api.logged import Log, id_made_at
from tests.api.problem import problem_of

pytestmark = pytest.mark.postgres

PATH = "/api/v1/deliveries"
NOW = datetime.now(UTC)
UNKNOWN = "dlv_019a9f2b6c7d7e8f9a0b1c2d3e4f5a6b"


async def listed(api: httpx.AsyncClient, path: str = PATH, **parameters: Any) -> list[str]:
    """Return the ids of the deliveries that a list holds."""
    response = await api.get(path, params=parameters)
    assert response.status_code == 200, response.text
    return [body["id"] for body in response.json()["data"]]


async def made_subscription(api: httpx.AsyncClient) -> str:
    body = {"url": "https://93.184.216.34/in", "event_types": ["*"]}
    return str((await api.post("/api/v1/subscriptions", json=body)).json()["id"])


async def test_a_delivery_is_shown_with_its_attempts_oldest_first(api: httpx.AsyncClient, log: Log) -> None:
    event_id = await log.event(new_event_id(), body=b'{"id": 1}')
    identifier = await log.delivery(event_id, attempts=2)
    failed = {"state": "retrying", "status": None, "error_kind": "timeout", "response_headers": None}
    first = await log.attempt(identifier, 1, NOW, **failed, response_body=None)
    second = await log.attempt(identifier, 2, NOW + timedelta(minutes=1))
    body = (await api.get(f"{PATH}/{identifier}")).json()
    assert (body["id"], body["event_id"], body["state"], body["attempt_count"]) == (identifier, event_id, "success", 2)
    assert [attempt["id"] for attempt in body["attempts"]] == [first, second]
    assert body["attempts"][0]["response"] is None
    assert body["attempts"][1]["request"] == {
        "headers": {"webhook-signature": "***"},
        "body": '{"id": 1}',
        "body_encoding": "utf-8",
        "body_bytes": 10,
        "truncated": True,
    }
    assert body["attempts"][1]["response"] == {
        "status": 200,
        "headers": {"content-type": "text/plain"},
        "body": "thanks",
        "body_encoding": "utf-8",
        "truncated": False,
    }


async def test_attempts_of_a_worker_whose_clock_is_a_week_late_are_found(api: httpx.AsyncClient, log: Log) -> None:
    identifier = await log.delivery(await log.event(new_event_id()))
    attempt = await log.attempt(identifier, 1, NOW - timedelta(days=7))
    assert [each["id"] for each in (await api.get(f"{PATH}/{identifier}")).json()["attempts"]] == [attempt]


async def test_a_held_delivery_has_an_attempt_without_a_request(api: httpx.AsyncClient, log: Log) -> None:
    identifier = await log.delivery(new_event_id(), state="held", attempts=0, status=None)
    await log.attempt(identifier, 0, NOW, state="held", status=None, request_headers=None, response_headers=None)
    attempt = (await api.get(f"{PATH}/{identifier}")).json()["attempts"][0]
    assert (attempt["attempt"], attempt["request"], attempt["response"]) == (0, None, None)


async def test_a_delivery_whose_event_is_not_in_the_log_shows_no_body(api: httpx.AsyncClient, log: Log) -> None:
    identifier = await log.delivery(new_event_id())
    await log.attempt(identifier, 1, NOW)
    request = (await api.get(f"{PATH}/{identifier}")).json()["attempts"][0]["request"]
    assert (request["body"], request["body_bytes"], request["truncated"]) == (None, 10, False)


async def test_it_is_not_sent_again_to_who_has_it(api: httpx.AsyncClient, log: Log) -> None:
    identifier = await log.delivery(new_event_id())
    etag = (await api.get(f"{PATH}/{identifier}")).headers["etag"]
    unchanged = await api.get(f"{PATH}/{identifier}", headers={"If-None-Match": etag})
    assert (unchanged.status_code, unchanged.content, unchanged.headers["etag"]) == (304, b"", etag)
    await log.attempt(identifier, 1, NOW)
    changed = await api.get(f"{PATH}/{identifier}", headers={"If-None-Match": etag})
    assert changed.status_code == 200
    problem_of(await api.get(f"{PATH}/{identifier}", headers={"If-Match": etag}), 412)


async def test_what_is_due_is_being_sent(api: httpx.AsyncClient, log: Log) -> None:
    due = await log.delivery(new_event_id(), state="retrying", due_at=NOW - timedelta(seconds=1), finished_at=None)
    waits = await log.delivery(new_event_id(), state="retrying", due_at=NOW + timedelta(hours=1), finished_at=None)
    await log.delivery(new_event_id())
    assert await listed(api, state="sending") == [due]
    assert await listed(api, state="retrying") == [waits]
    sending, retrying = (await api.get(f"{PATH}/{due}")).json(), (await api.get(f"{PATH}/{waits}")).json()
    assert (sending["state"], sending["next_attempt_at"]) == ("sending", None)
    assert retrying["state"] == "retrying"
    assert datetime.fromisoformat(retrying["next_attempt_at"]) == NOW + timedelta(hours=1)


FIELDS: dict[str, Any] = {"event_type": "user.deleted", "state": "failed", "status": 503, "error_kind": "http"}


@pytest.mark.parametrize("names", [*([name] for name in FIELDS), ["event_type", "status"], list(FIELDS)])
async def test_each_filter_finds_what_has_it_and_nothing_else(
    api: httpx.AsyncClient, log: Log, names: list[str]
) -> None:
    wanted = await log.delivery(new_event_id(), **FIELDS)
    others = [
        await log.delivery(new_event_id(), **{**FIELDS, name: other})
        for name, other in (("event_type", "user.created"), ("state", "held"), ("status", 404), ("error_kind", "tls"))
    ]
    found = await listed(api, **{name: FIELDS[name] for name in names})
    expected = [wanted, *(other for name, other in zip(FIELDS, others, strict=True) if name not in names)]
    assert sorted(found) == sorted(expected)


async def test_lists_of_one_subscription(api: httpx.AsyncClient, log: Log) -> None:
    subscription_id = await made_subscription(api)
    mine = await log.delivery(new_event_id(), subscription_id=subscription_id)
    failed = await log.delivery(new_event_id(), subscription_id=subscription_id, state="failed")
    await log.delivery(new_event_id())
    path = f"/api/v1/subscriptions/{subscription_id}/deliveries"
    assert await listed(api, subscription_id=subscription_id) == await listed(api, path) == [failed, mine]
    assert await listed(api, path, state="failed") == [failed]


async def test_since_is_within_and_until_is_not(api: httpx.AsyncClient, log: Log) -> None:
    times = [NOW.replace(microsecond=0) - timedelta(days=days) for days in (0, 1, 9, 40)]
    made = [await log.delivery(id_made_at("evt", at)) for at in times]
    since, until = times[2].isoformat(), times[0].isoformat()
    assert await listed(api) == made
    assert await listed(api, since=since) == made[:3]
    assert await listed(api, until=until) == made[1:]
    assert await listed(api, since=since, until=until) == made[1:3]
    assert await listed(api, since=until, until=until) == []


async def test_pages_follow_each_other_through_days_and_through_one_moment(api: httpx.AsyncClient, log: Log) -> None:
    at = NOW.replace(microsecond=0) - timedelta(days=1)
    moments = [*(at for _ in range(5)), *(at - timedelta(days=days) for days in range(1, 12, 2))]
    made = {await log.delivery(id_made_at("evt", moment, number)) for number, moment in enumerate(moments)}
    seen: list[dict[str, Any]] = []
    cursor: str | None = None
    while cursor is not None or not seen:
        page = (await api.get(PATH, params={"limit": 2, **({"cursor": cursor} if cursor else {})})).json()
        seen += page["data"]
        cursor = page["next_cursor"]
        assert page["has_more"] == (cursor is not None)
    assert [body["id"] for body in seen] == sorted(made, reverse=True)


async def test_text_in_the_events_id(api: httpx.AsyncClient, log: Log) -> None:
    event_id = "evt_019a9f2b6c7d7abcb001deadbeef2345"
    identifier = await log.delivery(await log.event(event_id, source_id="order-17"))
    other = await log.delivery(await log.event("evt_019a9f2b6c7d7abcb001deadbeee2345", source_id="order-170"))
    assert await listed(api, event_id=event_id) == [identifier]
    assert await listed(api, event_id=event_id[4:]) == [identifier]
    assert await listed(api, event_id="dbeef2") == [identifier]
    assert await listed(api, event_id="DBEEF2") == [identifier]
    assert await listed(api, event_id="order-17") == [identifier]
    assert sorted(await listed(api, event_id="dbee")) == sorted([identifier, other])
    assert sorted(await listed(api, event_id="evt_019a9f2b")) == sorted([identifier, other])
    assert sorted(await listed(api, event_id="019a9f")) == sorted([identifier, other])
    assert await listed(api, event_id="dbeef2", state="failed") == []
    assert await listed(api, event_id="beefdead") == []  # its fours are there, but not in this order


async def test_text_finds_pages_too(api: httpx.AsyncClient, log: Log) -> None:
    event_id = await log.event("evt_019a9f2b6c7d7abcb001deadbeef9999")
    made = {await log.delivery(event_id, subscription_id=new_subscription_id()) for _ in range(5)}
    first = (await api.get(PATH, params={"event_id": "beef", "limit": 3})).json()
    rest = (await api.get(PATH, params={"event_id": "beef", "limit": 3, "cursor": first["next_cursor"]})).json()
    assert [body["id"] for body in first["data"] + rest["data"]] == sorted(made, reverse=True)
    assert not rest["has_more"]


@pytest.mark.parametrize(
    ("parameter", "value", "said"),
    [
        ("state", "lost", "'pending', 'sending', 'retrying', 'success', 'failed' or 'held'"),
        ("error_kind", "http2", ", ".join(f"'{kind}'" for kind in list(ErrorKind)[:3])),
        ("event_id", "abc", "at least 4 characters"),
        ("event_id", "abcd\x00", "NUL"),
        ("event_type", "user\x00", "NUL"),
        ("subscription_id", "sub\x00", "NUL"),
        ("status", "99", "greater than or equal to 100"),
        ("since", "2026-11-21T09:30:00", "offset"),
        ("since", "2026-11-21T09:30:00 02:00", "%2B"),
        ("since", "yesterday", "2026-11-21T09:30:00Z"),
        ("since", "1700000000", "RFC 3339"),
        ("until", "0001-01-01T00:00:00+14:00", "RFC 3339"),
        ("until", "2026-02-30T00:00:00Z", "RFC 3339"),
        ("cursor", "bm90aGluZw==", "no cursor"),
        ("limit", "101", "less than or equal to 100"),
    ],
)
async def test_what_cannot_be_meant_is_said(bare_api: httpx.AsyncClient, parameter: str, value: str, said: str) -> None:
    errors = problem_of(await bare_api.get(PATH, params={parameter: value}), 422)["errors"]
    assert isinstance(errors, list)
    assert [error["parameter"] for error in errors] == [parameter]
    assert said in errors[0]["detail"]


async def test_a_span_that_ends_before_it_begins_is_refused(bare_api: httpx.AsyncClient) -> None:
    span = {"since": "2026-11-21T09:30:00Z", "until": "2026-11-21T10:30:00+02:00"}
    problem_of(await bare_api.get(PATH, params=span), 422)


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
@pytest.mark.parametrize("bound", ["since", "until"])
async def test_every_moment_may_bound_a_list(api: httpx.AsyncClient, moment: str, bound: str) -> None:
    for path in (PATH, "/api/v1/events"):
        for order in ("asc", "desc"):
            assert await listed(api, path, **{bound: moment, "order": order}) == []


async def test_another_organizations_are_not_there(api: httpx.AsyncClient, log: Log) -> None:
    subscription_id = await made_subscription(api)
    identifier = await log.delivery(await log.event(new_event_id()), subscription_id=subscription_id)
    stranger = {"Hookline-Organization": "org_stranger"}
    for path in (f"{PATH}/{identifier}", f"/api/v1/subscriptions/{subscription_id}/deliveries", f"{PATH}/{UNKNOWN}"):
        problem_of(await api.get(path, headers=stranger), 404)
    for parameters in ({}, {"subscription_id": subscription_id}, {"event_id": identifier[4:10]}):
        assert (await api.get(PATH, params=parameters, headers=stranger)).json()["data"] == []
    problem_of(await api.get(f"{PATH}/nonsense"), 404)
