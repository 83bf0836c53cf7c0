"""What every request under `/api/v1` passes before its route: who calls and whether they may, then its body as JSON.

In this order: nobody's body is read before we know who sends it and that it is not too much. The body is counted while
it comes in, so that neither a wrong Content-Length nor a chunked body fills the memory. Around the route are its
transaction, its entry in the audit log and, for a POST that names an `Idempotency-Key`, the answer that is kept for it.
"""

import json
import math
import re
from collections.abc import Callable, Coroutine
from email.message import Message
from typing import Any, ClassVar, Final, NoReturn, cast

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict

from api.audit.recording import is_recorded as changed
from api.audit.recording import record_request
from api.caching import LIST_AND_ITEM_S, with_caching
from api.callers import Access, Callers, access_of, address_of, check_access
from api.database import RequestTransaction
from api.errors import BodyTooLarge, Flaw, InvalidRequest, MalformedJson, NotJson
from api.idempotency.keys import KEY_HEADER
from api.idempotency.repeats import Repeats
from api.limits.taking import RateLimits
from api.permissions import MEANINGS, Permission, RateClass
from schemas.redaction import Json

DEEPEST_JSON: Final = 100  # levels; orjson writes 254, and Python's own recursion has room for these
_ESCAPE: Final = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")  # NUL and surrogates come in no other way


class JsonBody(BaseModel):
    """A body of a request: no field that it does not name, no value that has to be guessed ("1" is no number)."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class JsonRoute(APIRoute):
    """A route that says in its types who may call it; its body, if it takes one, is JSON within the limit."""

    limit: ClassVar = "largest_body_bytes"  # its name in the app's state
    max_age_s: ClassVar = LIST_AND_ITEM_S
    access: Access

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's handler with ours before it; raises UndeclaredRoute."""
        handle = super().get_route_handler()
        takes_body = self.body_field is not None
        access = self.access = access_of(self.endpoint)
        action = self.operation_id or self.name
        is_recorded = access.permission is not Permission.EVENTS_PUBLISH and not access.is_open

        async def handle_recorded(request: Request) -> Response:
            response = await handle(request)
            if is_recorded and changed(request, response):
                db = await cast(RequestTransaction, request.state.transaction).session()
                await record_request(db, request, response, action=action)
            return response

        async def handle_known(request: Request) -> Response:
            await _admit(request, access)
            body = b""
            if takes_body:
                request = _JsonRequest(request.scope, request.receive)
                await request.read(most_bytes=getattr(request.app.state, self.limit))
                body = await request.body()
            callers = cast(Callers, request.app.state.callers)
            forgot = callers.forgot
            if request.method == "POST" and KEY_HEADER in request.headers and not access.is_open:
                response = await cast(Repeats, request.app.state.repeats).answered(request, body, handle_recorded)
            else:
                async with RequestTransaction(request):
                    response = await handle_recorded(request)
            if callers.forgot != forgot:  # by a route before it committed, when others still saw what was before
                callers.forget()
            return with_caching(request, response, max_age_s=self.max_age_s)

        return handle_known


async def _admit(request: Request, access: Access) -> None:
    """Let a request in: who calls, whether it is too much, whether they may; refusals count as well."""
    limits = cast(RateLimits, request.app.state.limits)
    if access.is_open:
        request.state.rate_headers = await limits.take_open(RateClass.SIGNING_IN, address_of(request))
        return
    caller = await cast(Callers, request.app.state.callers).identify(request)
    request.state.caller = caller
    counts_as = MEANINGS[access.permission].counts_as if access.permission else _of_method(request.method)
    request.state.rate_headers = await limits.take(caller, counts_as)
    check_access(caller, access)


def _of_method(method: str) -> RateClass:
    return RateClass.READING if method == "GET" else RateClass.MANAGING


class BatchRoute(JsonRoute):
    """A route whose body holds many things at once."""

    limit: ClassVar = "largest_batch_bytes"


class _JsonRequest(Request):
    """A request whose body has been read and checked: FastAPI takes both from here."""

    _raw: bytes = b""
    _value: Json = None

    async def body(self) -> bytes:
        return self._raw

    async def json(self) -> Json:
        return self._value

    async def read(self, *, most_bytes: int) -> None:
        """Read the body. Raises BodyTooLarge, NotJson, MalformedJson, InvalidRequest."""
        self._raw = await self._read_raw(most_bytes)
        if self._raw:
            _check_content_type(self.headers.get("content-type", ""))
            self._value = json_of(self._raw)

    async def _read_raw(self, most_bytes: int) -> bytes:
        announced = self.headers.get("content-length", "0")
        if announced.isdecimal() and int(announced) > most_bytes:
            _refuse_size(most_bytes)
        raw = bytearray()
        async for chunk in self.stream():
            raw += chunk
            if len(raw) > most_bytes:
                _refuse_size(most_bytes)
        return bytes(raw)


def _refuse_size(most_bytes: int) -> NoReturn:
    raise BodyTooLarge(f"the body may have {most_bytes:,} bytes", headers={"Connection": "close"})


def _check_content_type(content_type: str) -> None:
    header = Message()
    header["content-type"] = content_type or "application/octet-stream"  # RFC 9110, 8.3
    subtype = header.get_content_subtype()
    is_json = header.get_content_maintype() == "application" and (subtype == "json" or subtype.endswith("+json"))
    if not is_json or header.get_content_charset("utf-8") not in {"utf-8", "us-ascii"}:
        raise NotJson("send application/json in UTF-8", headers={"Accept": "application/json"})


def json_of(raw: bytes) -> Json:
    """Return the JSON value in `raw` (RFC 8259, UTF-8).

    Raises MalformedJson, also for NaN, Infinity and numbers too large for a double, which Python would take and nobody
    could send on; InvalidRequest, with a pointer, for NUL, lone surrogates and more than 100 levels.
    """
    try:
        value = cast(Json, json.loads(raw.decode(), parse_constant=_refuse_constant, parse_float=_finite))
    except UnicodeDecodeError as error:
        raise MalformedJson(f"the body is not UTF-8: byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise MalformedJson(f"the body is not JSON: {error.msg} at line {error.lineno} column {error.colno}") from None
    except RecursionError:
        raise MalformedJson(f"the body is nested deeper than {DEEPEST_JSON} levels") from None
    except ValueError as error:  # ours below, and a whole number of more than 4,300 digits
        raise MalformedJson(f"the body holds a number that cannot be kept: {str(error)[:80]}") from None
    if _ESCAPE.search(raw) or raw.count(b"{") + raw.count(b"[") > DEEPEST_JSON:
        _check_values(value)
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError("it is too large for a double")
    return number


def _check_values(value: Json) -> None:
    waiting: list[tuple[Json, str, int]] = [(value, "", 1)]
    while waiting:
        item, pointer, depth = waiting.pop()
        if depth > DEEPEST_JSON:
            _refuse_value(f"is nested deeper than {DEEPEST_JSON} levels", pointer)
        if isinstance(item, str):
            _check_text(item, pointer)
        elif isinstance(item, dict):
            for name, inner in item.items():
                _check_text(name, pointer)
                escaped = name.replace("~", "~0").replace("/", "~1")
                waiting.append((inner, f"{pointer}/{escaped}", depth + 1))
        elif isinstance(item, list):
            waiting.extend((inner, f"{pointer}/{index}", depth + 1) for index, inner in enumerate(item))


def _check_text(text: str, pointer: str) -> None:
    if "\x00" in text:
        _refuse_value("holds NUL (U+0000), which nothing behind us can keep", pointer)
    if any("\ud800" <= character <= "\udfff" for character in text):
        _refuse_value("holds a lone surrogate, which UTF-8 cannot carry", pointer)


def _refuse_value(detail: str, pointer: str) -> NoReturn:
    raise InvalidRequest(f"{pointer or 'the body'}: {detail}"[:500], flaws=[Flaw(detail, pointer=pointer)])
