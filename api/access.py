"""Around every request: its id, one line in the log, its time in the metrics, and an answer when we failed.

Plain ASGI (https://asgi.readthedocs.io/en/latest/specs/www.html): it sees each answer, problems and 500s included.
"""

import re
import time
from dataclasses import dataclass
from typing import Final

import structlog
import uuid_utils
from fastapi import Request
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import Refusal
from api.metrics import Metrics
from api.problems import problem

log = structlog.get_logger("api.access")

REQUEST_ID_HEADER: Final = "X-Request-Id"
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,100}")
_QUIET: Final = {"/healthz", "/readyz", "/metrics"}  # asked every few seconds
_METHODS: Final = {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"}
_CLIENT_GONE: Final = 499  # nginx's number for it: nobody got an answer


@dataclass(slots=True)
class _Answer:
    status: int = 0
    body_bytes: int = 0


class Access:
    """The outermost layer of the app."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; answer 500, without details, when what is inside raises."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        request_id = _request_id_of(request)
        request.state.request_id = request_id
        answer, started = _Answer(), time.perf_counter()

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer.status = int(message["status"])
                given = list(message["headers"])
                message["headers"] = [*given, *_headers_of(request, {name for name, _ in given})]
            else:
                answer.body_bytes += len(message.get("body", b""))
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, send_with_id)
            except ClientDisconnect:
                answer.status = _CLIENT_GONE
            except Exception:  # our bug: in the log with its trace, for the caller without
                log.exception("request.failed", method=request.method, path=request.url.path)
                if answer.status:
                    raise  # half an answer is out: the server closes the connection
                failure = problem(request, Refusal("something went wrong on our side; it has been logged"))
                await failure(scope, receive, send_with_id)
            finally:
                self._record(request, answer, time.perf_counter() - started)

    def _record(self, request: Request, answer: _Answer, seconds: float) -> None:
        method = request.method if request.method in _METHODS else "other"
        route = getattr(request.scope.get("route"), "path", "none")
        self._metrics.request_seconds.labels(method, route, str(answer.status)).observe(seconds)
        caller = getattr(request.state, "caller", None)
        path = request.scope["path"]  # request.url is put together anew, and split, each time it is asked for
        (log.debug if path in _QUIET else log.info)(
            "request",
            method=method,
            path=path,  # without its query: filters may hold what is not ours to log
            status=answer.status,
            duration_ms=round(seconds * 1000, 1),
            body_bytes=answer.body_bytes,
            organization_id=None if caller is None else caller.organization_id,
            credential=None if caller is None else caller.id,
            client=None if request.client is None else request.client.host,
        )


def _headers_of(request: Request, given: set[bytes]) -> list[tuple[bytes, bytes]]:
    """Return what every answer carries beside what is `given`: the request's id, and how the caller's limits stand."""
    rate: dict[str, str] = getattr(request.state, "rate_headers", {})
    named = {"x-request-id": request.state.request_id, **rate}
    ours = [(name.lower().encode(), value.encode()) for name, value in named.items()]
    return [(name, value) for name, value in ours if name not in given]  # a 429 says itself how they stand


def _request_id_of(request: Request) -> str:
    """Return the caller's own id for the request when it has one that can stand in a log, else a fresh one."""
    given = request.headers.get(REQUEST_ID_HEADER, "")
    return given if _REQUEST_ID.fullmatch(given) else f"req_{uuid_utils.uuid7().hex}"
