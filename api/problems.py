"""Every answer that is not what was asked for is a problem document (RFC 9457).

`type` is a URN that names the kind, `errors` say what is wrong where: a JSON pointer (RFC 6901) into the body, or the
name of a query parameter or header. What a caller sent is never repeated whole: it may hold a secret.
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

import orjson
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import GetJsonSchemaHandler, RootModel, ValidationError
from pydantic_core import CoreSchema
from starlette.exceptions import HTTPException

from api.errors import BodyTooLarge, Flaw, InvalidRequest, Refusal, Unavailable
from producers.errors import ProducingError
from schemas.envelope import EventTooLarge
from schemas.errors import InvalidInput
from schemas.json_values import escaped

log = structlog.get_logger("api.problems")

MEDIA_TYPE: Final = "application/problem+json"
_MOST_FLAWS: Final = 100
_TITLES: Final = {  # a phrase that stays the same for a kind; HTTPStatus's own differ between Python versions
    400: "Malformed request",
    401: "Not authenticated",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    412: "Precondition failed",
    413: "Body too large",
    415: "Unsupported media type",
    422: "Invalid request",
    429: "Too many requests",
    500: "Internal error",
    503: "Temporarily unavailable",
}

SCHEMA: Final[dict[str, Any]] = {
    "title": "Problem",
    "type": "object",
    "description": "What went wrong (RFC 9457).",
    "required": ["type", "title", "status", "detail", "request_id"],
    "properties": {
        "type": {"type": "string", "examples": ["urn:hookline:problem:invalid-request"]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["detail"],
                "properties": {
                    "detail": {"type": "string"},
                    "pointer": {"type": "string", "description": "JSON pointer into the request's body"},
                    "parameter": {"type": "string", "description": "a query parameter"},
                    "header": {"type": "string", "description": "a request header"},
                },
            },
        },
    },
}


class Problem(RootModel[dict[str, Any]]):
    """A problem document inside an answer: what became of one of several things that were asked for."""

    @classmethod
    def __get_pydantic_json_schema__(cls, _: CoreSchema, __: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return the document's own schema, so that OpenAPI has one of them."""
        return SCHEMA


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what OpenAPI says about these problems, for a route's or a router's `responses`."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": _TITLES[status], "content": content} for status in statuses}


def problem(request: Request, refusal: Refusal, *, status: int | None = None) -> Response:
    """Return the document for a refusal, with its headers."""
    status = status or int(refusal.status)
    document = document_of(refusal, request_id=request_id_of(request), status=status)
    response = Response(orjson.dumps(document), status, headers=refusal.headers, media_type=MEDIA_TYPE)
    response.headers.setdefault("Cache-Control", "no-store")  # a 404 may be kept otherwise (RFC 9110, 15.1)
    return response


def document_of(refusal: Refusal, *, request_id: str, status: int) -> dict[str, object]:
    """Return the document itself, which also stands for one item of many that were asked for."""
    title = _TITLES.get(status) or HTTPStatus(status).phrase
    document: dict[str, object] = {
        "type": f"urn:hookline:problem:{title.lower().replace(' ', '-')}",
        "title": title,
        "status": status,
        "detail": _speakable(refusal.detail),
        "request_id": request_id,
    }
    if refusal.flaws:
        document["errors"] = [_flaw(flaw) for flaw in refusal.flaws[:_MOST_FLAWS]]
    return document


def request_id_of(request: Request) -> str:
    """Return the id that `api/access.py` gave the request; every answer carries it."""
    return str(getattr(request.state, "request_id", ""))


def add_handlers(app: FastAPI) -> None:
    """Answer every refusal of ours, of FastAPI and of what routes call with a problem document."""
    app.add_exception_handler(Refusal, _on_refusal)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(InvalidInput, _on_invalid_input)
    app.add_exception_handler(ProducingError, _on_producing_error)


async def _on_refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)  # noqa: S101 - Starlette types handlers by Exception
    return problem(request, error)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    details = {404: "no such route", 405: f"this route does not take {request.method}"}
    refusal = Refusal(details.get(error.status_code, error.detail), headers=error.headers)
    return problem(request, refusal, status=error.status_code)


async def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    return problem(request, refusal_of_flaws([_flaw_at(found["loc"], found["msg"]) for found in error.errors()]))


async def _on_invalid_input(request: Request, error: Exception) -> Response:
    assert isinstance(error, InvalidInput)  # noqa: S101
    return problem(request, refusal_of(error))


async def _on_producing_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProducingError)  # noqa: S101
    log.warning("event.not_published", error=str(error))
    return problem(request, refusal_of(error))


def refusal_of(error: InvalidInput | ProducingError | ValidationError, *, below: str = "") -> Refusal:
    """Return how we refuse what `schemas`, `producers` or pydantic raised; `below` is where in the body it happened."""
    if isinstance(error, ProducingError):
        return Unavailable("Kafka did not take the event in time; it may still arrive: publish it again")
    if isinstance(error, EventTooLarge):
        return BodyTooLarge(error.detail, flaws=[Flaw(error.detail, pointer=below)] if below else ())
    if isinstance(error, InvalidInput):
        return refusal_of_flaws([Flaw(error.detail, pointer=below + error.pointer)])
    found = error.errors(include_url=False, include_input=False)
    return refusal_of_flaws([Flaw(each["msg"], pointer=below + _pointer_of(each["loc"])) for each in found])


def refusal_of_flaws(flaws: Sequence[Flaw]) -> InvalidRequest:
    """Return a 422 that sums up its flaws."""
    return InvalidRequest(_summary(flaws), flaws=flaws)


def _flaw_at(location: Sequence[str | int], detail: str) -> Flaw:
    where, *path = location
    if where == "body":
        return Flaw(detail, pointer=_pointer_of(path))
    name = str(path[0]) if path else str(where)
    return Flaw(detail, header=name) if where == "header" else Flaw(detail, parameter=name)


def _pointer_of(path: Sequence[str | int]) -> str:
    return "".join(f"/{escaped(str(part))}" for part in path)


def _summary(flaws: Sequence[Flaw]) -> str:
    first = flaws[0]
    where = first.pointer or first.parameter or first.header or "the body"
    more = f" (and {len(flaws) - 1} more)" if len(flaws) > 1 else ""
    return f"{where}: {first.detail}{more}"


def _flaw(flaw: Flaw) -> dict[str, str]:
    named = {"pointer": flaw.pointer, "parameter": flaw.parameter, "header": flaw.header}
    where = {name: _speakable(value) for name, value in named.items() if value is not None}
    return {"detail": _speakable(flaw.detail), **where}


def _speakable(text: str) -> str:
    """Return text that UTF-8 can carry: a pointer names a field that a caller made up, lone surrogates included."""
    return text.encode("utf-8", "backslashreplace").decode()
