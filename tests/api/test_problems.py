"""Every answer that is not what was asked for is a problem document."""

import httpx
import pytest
import structlog

from tests.api.conftest import NO_DATABASE_URL
from tests.api.problem import problem_of

SUBSCRIPTION = "/api/v1/subscriptions/sub_019a9f2b6c7d7e8f9a0b1c2d3e4f5a6b"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/api/v1", 404),
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/api/v1/subscriptions/", 404),  # not sent elsewhere: a redirected POST loses its body
        ("GET", "/api/v1/event-types/%00", 404),
        ("GET", "/api/v1/subscriptions/%00", 404),
        ("GET", "/api/v1/subscriptions/%ff", 404),
        ("GET", "/api/v1/subscriptions/nope", 404),
        ("GET", "/docs", 404),
        ("PUT", "/api/v1/events", 405),
        ("DELETE", "/api/v1/subscriptions", 405),
        ("POST", "/healthz", 405),
        ("BREW", "/healthz", 405),
    ],
)
async def test_what_is_not_there_is_a_problem(bare_api: httpx.AsyncClient, method: str, path: str, status: int) -> None:
    response = await bare_api.request(method, path)
    problem_of(response, status)
    assert status != 405 or response.headers["allow"]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("limit=", "limit"),
        ("state=broken", "state"),
        ("cursor=!", "cursor"),
        ("text=%00", "text"),
        ("event_type=a%00", "event_type"),
        (f"text={'x' * 201}", "text"),
    ],
)
async def test_a_bad_query_names_its_parameter(bare_api: httpx.AsyncClient, query: str, parameter: str) -> None:
    document = problem_of(await bare_api.get(f"/api/v1/subscriptions?{query}"), 422)
    errors = document["errors"]
    assert isinstance(errors, list)
    assert [error["parameter"] for error in errors] == [parameter]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/api/v1/subscriptions", None),
        ("POST", "/api/v1/subscriptions", {"url": "https://93.184.216.34/", "event_types": ["*"]}),
        ("GET", SUBSCRIPTION, None),
        ("PATCH", SUBSCRIPTION, {"enabled": False}),
        ("DELETE", SUBSCRIPTION, None),
    ],
)
async def test_without_the_database_it_is_503_with_retry_after(
    bare_api: httpx.AsyncClient, method: str, path: str, body: object
) -> None:
    with structlog.testing.capture_logs() as logs:
        response = await bare_api.request(method, path, json=body)
    problem_of(response, 503)
    assert response.headers["retry-after"] == "1"
    assert NO_DATABASE_URL not in response.text
    assert "request.failed" not in {log["event"] for log in logs}  # expected, so no trace
