"""What a receiver answered, and the ways in which an exchange ends without an answer."""

from dataclasses import dataclass

from schemas.errors import HooklineError

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with its headers as they came; `truncated` says that the body went on behind what was read."""

    status: int
    headers: Headers
    body: bytes
    truncated: bool
    address: str


class Disconnected(HooklineError):
    """The connection ended before a whole answer; its cause is the OSError that ended it, if one did."""

    def __init__(self, *, within_answer: bool) -> None:
        super().__init__("the connection ended before a whole answer")
        self.within_answer = within_answer


class StaleConnection(HooklineError):
    """A kept connection ended before anything of an answer came: the receiver had closed it already."""


class NotHttp(HooklineError):
    """What came is no HTTP/1.x answer."""


class TooLarge(HooklineError):
    """The status line, the headers or what frames the body are over a limit."""


class HandshakeFailed(HooklineError):
    """TLS did not come about; its cause says why."""
