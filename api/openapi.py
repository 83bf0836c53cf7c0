"""The OpenAPI 3.1 description: FastAPI's, with the problem document and the webhooks that receivers get.

`docs/openapi.json` is a copy of it (`make openapi`); a test fails when they differ.
"""

from collections.abc import Iterator
from typing import Any, Final

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from api import problems
from api.caching import HEADERS, IF_NONE_MATCH
from api.credentials import SESSION_COOKIE
from api.events.describing import event_schemas
from api.idempotency.describing import describe_key
from api.requests import JsonRoute
from api.webhooks import PARAMETERS, webhooks

_SCHEMES: Final[dict[str, Any]] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API token (`hkl_…`), an access token of the OAuth server, or the administrator's token.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": SESSION_COOKIE,
        "description": "A browser's session; what changes something sends its CSRF token in X-CSRF-Token too.",
    },
}
_OWN_HEADERS: Final[dict[str, Any]] = {
    "RateLimit": {
        "description": "How the limit nearest to its end stands: `r` is left, more in `t` seconds. The administrator "
        "has none.",
        "schema": {"type": "string", "examples": ['"reading";r=998;t=42']},
    },
    "RateLimit-Policy": {
        "description": "That limit: `q` requests in `w` seconds.",
        "schema": {"type": "string", "examples": ['"reading";q=1000;w=60']},
    },
    "Retry-After": {"description": "Seconds until there is more.", "schema": {"type": "string"}},
    "X-Request-Id": {"description": "Names the request in logs.", "schema": {"type": "string"}},
    "WWW-Authenticate": {
        "description": "What is wrong with the credential, and the permission that is missing (RFC 6750, 3).",
        "schema": {"type": "string"},
    },
}


def describe(app: FastAPI) -> None:
    """Let the app's description hold what FastAPI cannot read from routes."""
    described = app.openapi

    def openapi() -> dict[str, Any]:
        document = described()  # FastAPI makes it once and keeps it
        components = document.setdefault("components", {})
        components.setdefault("schemas", {}).update({**event_schemas(), "Problem": problems.SCHEMA})
        components["parameters"] = PARAMETERS
        components["securitySchemes"] = _SCHEMES
        components["headers"] = {**HEADERS, **_OWN_HEADERS}
        operations = list(_operations_of(app, document))
        for operation, route in operations:
            _describe_access(operation, route)
        keyed = [operation for operation, route in operations if route.takes_key and route.methods == {"POST"}]
        describe_key(keyed)  # adds answers, which have headers as all have
        for operation, route in operations:
            _describe_caching(operation, route)
            _describe_headers(operation)
        document["webhooks"] = webhooks()
        return document

    app.openapi = openapi  # type: ignore[method-assign] # FastAPI's documented way to extend it


def _operations_of(app: FastAPI, document: dict[str, Any]) -> Iterator[tuple[dict[str, Any], JsonRoute]]:
    for found in iter_route_contexts(app.routes):  # included routers' routes too, which app.routes does not name
        route = found.original_route
        if isinstance(route, JsonRoute) and route.include_in_schema:
            for method in sorted(route.methods or ()):
                yield document["paths"][route.path_format][method.lower()], route


def _describe_access(operation: dict[str, Any], route: JsonRoute) -> None:
    """Say which permission it needs and how a caller is known; nothing of one that is open to anybody."""
    problems_too = (403, 429, 503) if route.access.is_open else (401, 403, 404, 422, 429, 503)
    for status, described in problems.documented(*problems_too).items():
        operation["responses"].setdefault(str(status), described)
    if route.access.is_open:
        return
    needed = [] if route.access.permission is None else [route.access.permission.value]
    operation["security"] = [{scheme: needed} for scheme in _SCHEMES]
    operation["x-hookline-permission"] = needed[0] if needed else None
    for status in ("401", "403"):
        _add_headers(operation["responses"][status], "WWW-Authenticate")


def _describe_caching(operation: dict[str, Any], route: JsonRoute) -> None:
    """Say that a GET has an ETag and may be answered with 304 (`api/caching.py`); a file is never kept."""
    answer = operation["responses"].get("200", {})
    if route.methods != {"GET"} or "application/json" not in answer.get("content", {}):
        return
    if IF_NONE_MATCH not in (parameters := operation.setdefault("parameters", [])):
        parameters.append(IF_NONE_MATCH)
    operation["responses"]["304"] = {"description": "It is as If-None-Match knows it."}
    operation["responses"].setdefault("412", problems.documented(412)[412])
    for status in ("200", "304"):
        _add_headers(operation["responses"][status], "ETag", "Vary")


def _describe_headers(operation: dict[str, Any]) -> None:
    """Say what every answer carries, and what more one that says to wait."""
    for status, answer in operation["responses"].items():
        waits = ("Retry-After",) if status == "429" else ()
        _add_headers(answer, "X-Request-Id", "Cache-Control", "RateLimit", "RateLimit-Policy", *waits)


def _add_headers(answer: dict[str, Any], *names: str) -> None:
    headers = answer.setdefault("headers", {})
    for name in names:
        headers.setdefault(name, {"$ref": f"#/components/headers/{name}"})
