"""What an attempt came to, and the kinds of failure. A receiver's failure is a value here, never an exception."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from schemas.error_kinds import ErrorKind

__all__ = ["ErrorKind", "Outcome", "kind_of_status"]

# 410: the receiver says that it is gone for good (RFC 9110, 15.5.11). A deleted subscription has nobody to ask again.
_FINAL_STATUS: Final = 410
_MILLISECOND: Final = timedelta(milliseconds=1)
_FINAL_KINDS: Final = {ErrorKind.DELETED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one HTTP request came to. `error_kind` None is success; `status` None means that there was no answer.

    `response_body` is what was kept of the answer's raw bytes (not decompressed), `truncated` whether there was more.
    `retry_after` is how long after `ended_at` the receiver wants to be left alone, None when it did not say.
    """

    started_at: datetime
    ended_at: datetime
    error_kind: ErrorKind | None = None
    error: str | None = None
    status: int | None = None
    address: str | None = None
    request_headers: dict[str, str] | None = None
    response_headers: dict[str, str] | None = None
    response_body: bytes | None = None
    truncated: bool = False
    retry_after: timedelta | None = None

    @property
    def is_success(self) -> bool:
        """Whether the receiver has it."""
        return self.error_kind is None

    @property
    def is_final(self) -> bool:
        """Whether another attempt is pointless."""
        return self.is_success or self.status == _FINAL_STATUS or self.error_kind in _FINAL_KINDS

    @property
    def duration_ms(self) -> int:
        """How long it took, in whole milliseconds, rounded up so that 0 means nothing was sent."""
        return -(-(self.ended_at - self.started_at) // _MILLISECOND)


def kind_of_status(status: int) -> ErrorKind | None:
    """Return None for 2xx, else HTTP: a redirect is a failure too, nobody agreed to the address it names."""
    return None if 200 <= status < 300 else ErrorKind.HTTP
