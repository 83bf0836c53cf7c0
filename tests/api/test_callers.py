"""Who is calling: the administrator or nobody, in an organization that can be one."""

import httpx
import pytest
from fastapi import Request

from api.callers import Callers
from api.errors import InvalidRequest, Unauthenticated
from tests.api.conftest import TOKEN
from tests.api.problem import problem_of

CALLERS = Callers(admin_token=TOKEN, admin_organization="org_default")
UNKNOWN = 'Bearer realm="hookline"'
INVALID = 'Bearer realm="hookline", error="invalid_token"'


def request(authorization: str | None, organization: str | None = None) -> Request:
    named = {"authorization": authorization, "hookline-organization": organization}
    headers = [(name.encode(), value.encode("latin-1")) for name, value in named.items() if value is not None]
    return Request({"type": "http", "method": "GET", "headers": headers})


@pytest.mark.parametrize(
    ("authorization", "challenge"),
    [
        (None, UNKNOWN),
        ("", UNKNOWN),
        (TOKEN, UNKNOWN),
        (f"Basic {TOKEN}", UNKNOWN),
        ("Bearer", UNKNOWN),
        ("Bearer  ", UNKNOWN),
        ("Bearer x", INVALID),
        (f"Bearer {TOKEN}x", INVALID),
        (f"Bearer {TOKEN[:-1]}", INVALID),
        (f"Bearer {TOKEN} {TOKEN}", INVALID),
        ("Bearer \xff", INVALID),
    ],
)
def test_without_the_token_nobody_is_known(authorization: str | None, challenge: str) -> None:
    with pytest.raises(Unauthenticated) as refused:
        CALLERS.identify(request(authorization))
    assert refused.value.headers == {"WWW-Authenticate": challenge}
    assert TOKEN not in str(refused.value)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_is_the_same_in_every_case(scheme: str) -> None:
    assert CALLERS.identify(request(f"{scheme} {TOKEN}")).name == "administrator"


@pytest.mark.parametrize(("named", "acts_in"), [(None, "org_default"), ("org_789", "org_789"), ("x" * 100, "x" * 100)])
def test_the_administrator_acts_in_the_organization_named(named: str | None, acts_in: str) -> None:
    assert CALLERS.identify(request(f"Bearer {TOKEN}", named)).organization_id == acts_in


@pytest.mark.parametrize("named", ["", "-x", "a b", "x" * 101, "é", "a\n"])
def test_what_cannot_be_an_organization_is_refused(named: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        CALLERS.identify(request(f"Bearer {TOKEN}", named))
    assert refused.value.flaws[0].header == "Hookline-Organization"


async def test_every_route_under_api_asks_who_calls(bare_api: httpx.AsyncClient) -> None:
    document = (await bare_api.get("/openapi.json")).json()
    asked = 0
    for path, operations in document["paths"].items():
        for method in operations:
            if path.startswith("/api/"):
                at = path.replace("{subscription_id}", "sub_x").replace("{name}", "user.created")
                response = await bare_api.request(method, at, headers={"Authorization": "Bearer nobody"})
                problem_of(response, 401)
                assert response.headers["www-authenticate"] == INVALID
                assert operations[method]["security"]
                asked += 1
    assert asked >= 8


async def test_an_organization_that_cannot_be_one_is_a_problem(bare_api: httpx.AsyncClient) -> None:
    document = problem_of(await bare_api.get("/api/v1/event-types", headers={"Hookline-Organization": "a b"}), 422)
    assert document["errors"] == [
        {"detail": "must be 1 to 100 letters, digits and . _ : -", "header": "Hookline-Organization"}
    ]
