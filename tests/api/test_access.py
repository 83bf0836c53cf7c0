"""Every request has an id, one line in the log, its time in the metrics, and an answer even when we failed."""

import httpx
import pytest
import structlog
from fastapi import FastAPI

from api.access import Access
from api.metrics import Metrics
from api.problems import add_handlers
from tests.api.conftest import TOKEN
from tests.api.problem import problem_of


@pytest.mark.parametrize(
    ("given", "kept"), [("mine-1", True), ("a.b:c_D", True), ("", False), ("two words", False), ("x" * 101, False)]
)
async def test_a_request_keeps_its_own_id_when_a_log_can_hold_it(
    bare_api: httpx.AsyncClient, given: str, *, kept: bool
) -> None:
    response = await bare_api.get("/healthz", headers={"X-Request-Id": given})
    request_id = response.headers["x-request-id"]
    assert (request_id == given) is kept
    assert kept or request_id.startswith("req_")


async def test_a_request_is_one_line_without_its_query_and_token(bare_api: httpx.AsyncClient) -> None:
    with structlog.testing.capture_logs() as logs:
        await bare_api.get("/api/v1/event-types/user.created?text=private", headers={"Hookline-Organization": "org_1"})
    lines = [log for log in logs if log["event"] == "request"]
    assert len(lines) == 1
    assert lines[0]["path"] == "/api/v1/event-types/user.created"
    assert lines[0]["status"] == 200
    assert lines[0]["organization_id"] == "org_1"
    assert TOKEN not in str(logs)
    assert "private" not in str(logs)


async def test_requests_are_counted_by_route_and_not_by_path(bare_api: httpx.AsyncClient) -> None:
    async def counted(route: str, status: int) -> float:
        text = (await bare_api.get("/metrics")).text
        name = f'hookline_api_request_seconds_count{{method="GET",route="{route}",status="{status}"}} '
        return next((float(line.removeprefix(name)) for line in text.splitlines() if line.startswith(name)), 0.0)

    of = (("/api/v1/event-types/{name}", 200), ("none", 404))
    before = [await counted(*each) for each in of]
    for path in ("event-types/user.created", "event-types/user.deleted", "made-up"):
        await bare_api.get(f"/api/v1/{path}")
    assert [await counted(*each) for each in of] == [before[0] + 2, before[1] + 1]
    assert "made-up" not in (await bare_api.get("/metrics")).text


def failing_app() -> FastAPI:
    app = FastAPI()
    add_handlers(app)

    @app.get("/fails")
    async def fails() -> None:
        raise RuntimeError("a-secret-detail")

    app.add_middleware(Access, metrics=Metrics())
    return app


async def test_our_own_bug_is_500_without_details_and_logged_with_them() -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(failing_app()), base_url="http://api") as client:
        with structlog.testing.capture_logs() as logs:
            response = await client.get("/fails")
    problem_of(response, 500)
    assert "a-secret-detail" not in response.text
    failed = next(log for log in logs if log["event"] == "request.failed")
    assert failed["exc_info"]
    assert failed["path"] == "/fails"
