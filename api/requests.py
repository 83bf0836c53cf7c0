"""What every request under `/api/v1` passes before its route: who calls and whether they may, then its body as JSON.

In this order: nobody's body is read before we know who sends it and that it is not too much. The body is counted while
it comes in, so that neither a wrong Content-Length nor a chunked body fills the memory. Around the route are its
transaction, its entry in the audit log and, for a POST that names an `Idempotency-Key`, the answer that is kept for it.
"""

import re
from collections.abc import Callable, Coroutine, Mapping
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
from schemas.cloudevents.attributes import is_json_type
from schemas.errors import InvalidInput
from schemas.json_reading import parsed
from schemas.json_values import Json

DEEPEST_JSON: Final = 100  # levels; orjson writes 254, and Python's own recursion has room for these
_ESCAPE: Final = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")  # NUL and surrogates come in no other way


class JsonBody(BaseModel):
    """A body of a request: no field that it does not name, no value that has to be guessed ("1" is no number)."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class JsonRoute(APIRoute):
    """A route that says in its types who may call it; its body, if it takes one, is JSON within the limit."""

    limit: ClassVar = "largest_body_bytes"  # its name in the app's state
    max_age_s: ClassVar = LIST_AND_ITEM_S
    takes_body: ClassVar[bool | None] = None  # None: when FastAPI finds a body among its parameters
    takes_key: ClassVar = True  # an Idempotency-Key
    elsewhere: ClassVar[Mapping[str, str]] = {}  # media types that belong somewhere else, and where
    access: Access

    def handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what calls the route's function: FastAPI's way to it."""
        return super().get_route_handler()

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's handler with ours before it; raises UndeclaredRoute."""
        handle = self.handler()
        takes_body = self.body_field is not None if self.takes_body is None else self.takes_body
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
                await request.read(most_bytes=getattr(request.app.state, self.limit), elsewhere=self.elsewhere)
                body = await request.body()
            callers = cast(Callers, request.app.state.callers)
            forgot = callers.forgot
            if request.method == "POST" and KEY_HEADER in request.headers and not access.is_open:
                if not self.takes_key:
                    _refuse_key()
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

    async def read(self, *, most_bytes: int, elsewhere: Mapping[str, str]) -> None:
        """Read the body. Raises BodyTooLarge, NotJson, MalformedJson, InvalidRequest."""
        self._raw = await self._read_raw(most_bytes)
        if self._raw:
            _check_content_type(self.headers.get("content-type", ""), elsewhere)
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


def _refuse_key() -> NoReturn:
    flaw = Flaw("a stream takes none: give each event an id of its own", header=KEY_HEADER)
    raise InvalidRequest(f"{KEY_HEADER}: {flaw.detail}", flaws=[flaw])


def media_type_of(content_type: str) -> str:
    """Return a media type without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def _check_content_type(content_type: str, elsewhere: Mapping[str, str]) -> None:
    hint = elsewhere.get(media_type_of(content_type))
    if hint is not None or not is_json_type(content_type):
        raise NotJson(hint or "send application/json in UTF-8", headers={"Accept": "application/json"})


def json_of(raw: bytes, *, called: str = "the body") -> Json:
    """Return the JSON value in `raw` (RFC 8259, UTF-8).

    Raises MalformedJson, also for NaN, Infinity and numbers too large for a double, which Python would take and nobody
    could send on; InvalidRequest, with a pointer, for NUL, lone surrogates and more than 100 levels.
    """
    try:
        value = parsed(raw)
    except InvalidInput as error:
        raise MalformedJson(f"{called} {error.detail}") from None
    if _ESCAPE.search(raw) or _is_deep(raw, value):
        _check_values(value)
    return value


def _is_deep(raw: bytes, value: Json) -> bool:
    """Return whether a value may have more than 100 levels: it is walked when it has more brackets than that."""
    if raw.count(b"{") + raw.count(b"[") <= DEEPEST_JSON:
        return False
    level, depth = [value] if isinstance(value, dict | list) else [], 0
    while level and depth < DEEPEST_JSON:
        depth += 1
        level = [
            inner
            for item in level
            for inner in (item.values() if isinstance(item, dict) else item)
            if isinstance(inner, dict | list)
        ]
    return bool(level)


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
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        _refuse_value("holds a lone surrogate, which UTF-8 cannot carry", pointer)


def _refuse_value(detail: str, pointer: str) -> NoReturn:
    raise InvalidRequest(f"{pointer or 'the body'}: {detail}"[:500], flaws=[Flaw(detail, pointer=pointer)])
