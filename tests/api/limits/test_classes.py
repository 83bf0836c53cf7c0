"""Each class of routes has its limit, per organization; answers say how it stands, and 429 when to come back."""

import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import orjson
import pytest
import pytest_asyncio

from api.errors import TooManyRequests
from api.limits.defaults import DEFAULTS, Limit
from api.limits.taking import RateLimits
from api.permissions import RateClass
from tests.api.conftest import client_of, settings_of
from tests.api.problem import problem_of
from tests.api.subscriptions.making import rows_of
from tests.api.tokens.making import PATH, UNKNOWN, as_token, made

pytestmark = pytest.mark.postgres
SUBSCRIPTION = "/api/v1/subscriptions/sub_019a9f2b6c7d7e8f9a0b1c2d3e4f5a6b"
DELIVERY = "/api/v1/deliveries/dlv_019a9f2b6c7d7e8f9a0b1c2d3e4f5a6b"
EVENT = {"type": "user.created", "data": {"id": "1"}}
CATALOGUE = "/api/v1/event-types"
POLICY = re.compile(r'"[a-z _-]+";q=\d+;w=\d+(, "[a-z _-]+";q=\d+;w=\d+)*')
STANDING = re.compile(r'"[a-z _-]+";r=\d+;t=\d+(, "[a-z _-]+";r=\d+;t=\d+)*')


def test_the_defaults_are_what_is_documented() -> None:
    minute = {"reading": 1000, "managing": 100, "testing": 5, "retrying": 10, "oauth": 30, "signing_in": 30}
    documented = {name: Limit(most, 60) for name, most in minute.items()} | {"publishing": Limit(1000, 1)}
    assert {counts_as.value: limit for counts_as, limit in DEFAULTS.items()} == documented


@pytest_asyncio.fixture
async def token(api: httpx.AsyncClient) -> dict[str, Any]:
    """A token of an organization of its own that may do everything."""
    scopes = ["read", "write", "tokens:*"]
    return await made(api, scopes=scopes)


async def limit(api: httpx.AsyncClient, url: str, **limits: int) -> None:
    """Set the organization's own limits."""
    organization = api.headers["Hookline-Organization"]
    await rows_of(
        url, "UPDATE organizations SET limits = $1 WHERE id = $2", orjson.dumps(limits).decode(), organization
    )


@pytest.mark.parametrize(
    ("name", "method", "path", "body", "most"),
    [
        ("testing", "POST", f"{SUBSCRIPTION}/test", None, 5),
        ("retrying", "POST", f"{DELIVERY}/retry", None, 10),
        ("managing", "DELETE", f"{PATH}/{UNKNOWN}", None, 100),
        ("reading", "GET", CATALOGUE, None, 7),
        ("publishing", "POST", "/api/v1/events", {"type": "unknown.type", "data": {}}, 4),
    ],
)
async def test_each_class_has_its_limit_on_a_route_that_belongs_to_it(
    api: httpx.AsyncClient,
    shared_url: str,
    token: dict[str, Any],
    *,
    name: str,
    method: str,
    path: str,
    body: Any,
    most: int,
) -> None:
    if most < DEFAULTS[RateClass(name)].most:
        await limit(api, shared_url, **{name: most})
    answers = [await api.request(method, path, json=body, headers=as_token(token)) for _ in range(most + 1)]
    if name == "publishing":  # a second is short: what was let in at its turn counts anew
        while answers[-1].status_code != 429:
            answers.append(await api.request(method, path, json=body, headers=as_token(token)))
    assert not [answer.status_code for answer in answers[:most] if answer.status_code == 429]
    problem_of(answers[-1], 429)
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 2 * DEFAULTS[RateClass(name)].window_s
    for answer in answers:
        assert answer.headers["ratelimit-policy"] == f'"{name}";q={most};w={DEFAULTS[RateClass(name)].window_s}'
        assert re.fullmatch(rf'"{name}";r=\d+;t=\d+', answer.headers["ratelimit"])
        assert len(answer.headers.get_list("ratelimit")) == 1
    assert answers[0].headers["ratelimit"].startswith(f'"{name}";r={most - 1};')
    assert (await api.get(SUBSCRIPTION if name == "reading" else "/healthz")).status_code in {
        200,
        404,
    }  # the administrator


async def test_a_class_that_is_used_up_leaves_the_others(api: httpx.AsyncClient, token: dict[str, Any]) -> None:
    for _ in range(6):
        last = await api.post(f"{SUBSCRIPTION}/test", headers=as_token(token))
    problem_of(last, 429)
    assert (await api.get(CATALOGUE, headers=as_token(token))).status_code == 200


async def test_tokens_share_the_organizations_limit_and_others_do_not(
    api: httpx.AsyncClient, token: dict[str, Any]
) -> None:
    sibling = await made(api, scopes=["write"])
    stranger = await made(api, scopes=["write"])
    api.headers["Hookline-Organization"] = f"org_{uuid4().hex}"
    stranger = await made(api, scopes=["write"])
    del api.headers["Hookline-Organization"]
    for number in range(6):
        last = await api.post(f"{SUBSCRIPTION}/test", headers=as_token((token, sibling)[number % 2]))
    problem_of(last, 429)
    assert (await api.post(f"{SUBSCRIPTION}/test", headers=as_token(stranger))).status_code == 404


async def test_the_administrator_has_no_limit(api: httpx.AsyncClient) -> None:
    for _ in range(12):
        answer = await api.post(f"{DELIVERY}/retry")
    assert answer.status_code == 404
    assert "ratelimit" not in answer.headers


async def test_a_tokens_own_limit_leaves_the_organizations_alone(api: httpx.AsyncClient, token: dict[str, Any]) -> None:
    slow = await made(api, scopes=["read"], rate_limit=2)
    answers = [await api.get(CATALOGUE, headers=as_token(slow)) for _ in range(20)]
    assert [answer.status_code for answer in answers] == [200, 200] + [429] * 18
    for answer in answers:
        assert '"credential";q=2;w=60' in answer.headers["ratelimit-policy"]
        assert POLICY.fullmatch(answer.headers["ratelimit-policy"])
        assert STANDING.fullmatch(answer.headers["ratelimit"])
    assert answers[0].headers["ratelimit"].startswith('"credential";r=1;')  # the nearest to its end first
    left = (await api.get(CATALOGUE, headers=as_token(token))).headers["ratelimit"]
    assert left.startswith('"reading";r=997;')  # two of the slow one's, and this


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", SUBSCRIPTION, 404), ("GET", f"{PATH}?limit=0", 422), ("GET", "/api/v1/members", 403), ("POST", PATH, 400)],
)
async def test_errors_say_how_the_limits_stand_too(
    api: httpx.AsyncClient, token: dict[str, Any], method: str, path: str, status: int
) -> None:
    headers = {**as_token(token), "Content-Type": "application/json"}
    answer = await api.request(method, path, headers=headers, content="{" if status == 400 else None)
    problem_of(answer, status)
    assert STANDING.fullmatch(answer.headers["ratelimit"])
    assert POLICY.fullmatch(answer.headers["ratelimit-policy"])


async def test_an_answer_that_is_not_modified_says_so_too(api: httpx.AsyncClient, token: dict[str, Any]) -> None:
    etag = (await api.get(CATALOGUE, headers=as_token(token))).headers["etag"]
    answer = await api.get(CATALOGUE, headers={**as_token(token), "If-None-Match": etag})
    assert answer.status_code == 304
    assert answer.headers["ratelimit"].startswith('"reading";r=998;')


async def test_a_batch_counts_as_many_as_it_holds_and_is_refused_whole(
    api: httpx.AsyncClient, shared_url: str, token: dict[str, Any]
) -> None:
    await limit(api, shared_url, publishing=10)
    batch = {"events": [{"type": "unknown.type", "data": {}}] * 11}
    answer = await api.post("/api/v1/events/batch", json=batch, headers=as_token(token))
    problem_of(answer, 429)
    assert int(answer.headers["retry-after"]) >= 1
    assert len(answer.headers.get_list("ratelimit")) == 1
    left: list[int] = []
    while len(left) < 2:  # until both are in one second
        answers = [
            await api.post("/api/v1/events/batch", json={"events": batch["events"][:3]}, headers=as_token(token))
            for _ in range(2)
        ]
        left = [int(re.findall(r"r=(\d+)", each.headers["ratelimit"])[0]) for each in answers]
        if left[0] - left[1] != 3:
            left = []
    assert left[0] <= 7


async def test_signing_in_is_limited_by_address(api: httpx.AsyncClient, shared_url: str) -> None:
    async with client_of(settings_of(shared_url)) as other:
        del other.headers["Authorization"]
        body = {"email": "nobody@example.com", "password": "wrong password"}
        answers = [await other.post("/api/v1/sessions", json=body) for _ in range(31)]
    assert answers[-1].status_code == 429
    assert all(STANDING.fullmatch(answer.headers["ratelimit"]) for answer in answers)


@pytest_asyncio.fixture
async def limits() -> AsyncIterator[RateLimits]:
    counted = RateLimits()
    yield counted
    await counted.close()


async def test_oauth_counts_a_client_at_an_address(limits: RateLimits) -> None:
    for _ in range(30):
        await limits.take_open(RateClass.OAUTH, "app_1", "203.0.113.1")
    with pytest.raises(TooManyRequests) as refused:
        await limits.take_open(RateClass.OAUTH, "app_1", "203.0.113.1")
    assert refused.value.headers["RateLimit-Policy"] == '"oauth";q=30;w=60'
    for parts in [("app_1", "203.0.113.2"), ("app_2", "203.0.113.1"), ("app_", "1203.0.113.1")]:
        await limits.take_open(RateClass.OAUTH, *parts)


@pytest.mark.parametrize(
    ("other", "is_the_same"),
    [("2001:db8:0:1:ffff::9", True), ("2001:DB8:0:1::", True), ("2001:db8:0:2::1", False), ("::ffff:1.2.3.4", False)],
)
async def test_an_ipv6_network_is_one_caller(limits: RateLimits, other: str, *, is_the_same: bool) -> None:
    await limits.take_open(RateClass.SIGNING_IN, "2001:db8:0:1::1")
    standing = (await limits.take_open(RateClass.SIGNING_IN, other))["RateLimit"]
    assert standing.startswith(f'"signing_in";r={28 if is_the_same else 29};')


@pytest.mark.parametrize("part", ["", "\0", "x" * 100_000, "é\udc80", "app_1/203.0.113.1"])
async def test_whatever_says_who_it_is_can_be_counted(limits: RateLimits, part: str) -> None:
    assert '"oauth";r=29' in (await limits.take_open(RateClass.OAUTH, part, "203.0.113.1"))["RateLimit"]
