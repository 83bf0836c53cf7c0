"""`/healthz`: the process lives. `/readyz`: what it needs is there. `/metrics`: what it counted."""

from http import HTTPStatus

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from api.readiness import Readiness
from api.services import AllServices

router = APIRouter(tags=["health"])


@router.get("/healthz", operation_id="healthz")
async def healthz() -> dict[str, str]:
    """Answer while the process lives."""
    return {"status": "ok"}


@router.get(
    "/readyz", operation_id="readyz", responses={503: {"model": Readiness, "description": "Something is missing."}}
)
async def readyz(services: AllServices, response: Response) -> Readiness:
    """Answer 200 when database, migrations and Kafka are there, else 503 naming what is not."""
    found = await services.ready.readiness()
    if found.status != "ready":
        response.status_code = int(HTTPStatus.SERVICE_UNAVAILABLE)
    return found


@router.get(
    "/metrics",
    operation_id="metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(services: AllServices) -> Response:
    """Show the metrics in Prometheus's text format."""
    return Response(generate_latest(services.metrics.registry), media_type=CONTENT_TYPE_LATEST)
