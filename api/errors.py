"""What the API refuses, one class a kind; `api/problems.py` turns them into answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import ClassVar

from schemas.errors import HooklineError


class ApiError(HooklineError):
    """The root of the API's own errors."""


@dataclass(frozen=True, slots=True)
class Flaw:
    """One thing wrong with a request: at `pointer` (RFC 6901) in its body, or in a `parameter` or `header`."""

    detail: str
    pointer: str | None = None
    parameter: str | None = None
    header: str | None = None


class Refusal(ApiError):
    """An answer that is not what was asked for. `detail` goes to the caller; `headers` go with it."""

    status: ClassVar[HTTPStatus] = HTTPStatus.INTERNAL_SERVER_ERROR

    def __init__(self, detail: str, *, flaws: Sequence[Flaw] = (), headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.flaws = tuple(flaws)
        self.headers = dict(headers or {})


class MalformedJson(Refusal):
    """The body is not JSON (RFC 8259)."""

    status = HTTPStatus.BAD_REQUEST


class Unauthenticated(Refusal):
    """Nobody we know (RFC 9110, 15.5.2)."""

    status = HTTPStatus.UNAUTHORIZED


class Forbidden(Refusal):
    """Known, and not allowed (RFC 9110, 15.5.4)."""

    status = HTTPStatus.FORBIDDEN


class NotFound(Refusal):
    """There is no such thing, or it is another organization's: the answer is the same."""

    status = HTTPStatus.NOT_FOUND


class Conflict(Refusal):
    """It does not go together with what is there (RFC 9110, 15.5.10)."""

    status = HTTPStatus.CONFLICT


class PreconditionFailed(Refusal):
    """If-Match or If-None-Match does not hold (RFC 9110, 13)."""

    status = HTTPStatus.PRECONDITION_FAILED


class BodyTooLarge(Refusal):
    """The body is over the limit; the connection is closed, the rest of the body is not read."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class NotJson(Refusal):
    """The body claims to be something else than JSON."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class InvalidRequest(Refusal):
    """The request can be read and does not hold; `flaws` say where."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY


class TooManyRequests(Refusal):
    """Over a limit (RFC 6585, 4); `headers` say when it is worth trying again."""

    status = HTTPStatus.TOO_MANY_REQUESTS


class Unavailable(Refusal):
    """Something we need is away; trying again helps."""

    status = HTTPStatus.SERVICE_UNAVAILABLE

    def __init__(self, detail: str, *, retry_after_s: int = 1) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after_s)})
