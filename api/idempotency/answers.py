"""An answer as it is kept: sealed, for it may hold a secret that is shown this once."""

from dataclasses import dataclass
from typing import Final, cast

import orjson
from fastapi import Response

from api.idempotency.keys import KeyedPost
from schemas.sealing import Sealer

REPLAYED_HEADER: Final = "Idempotent-Replayed"
ANSWER_PURPOSE: Final = "idempotent-answer"
_KEPT_HEADERS: Final = ("content-type", "location", "etag")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the first request was told."""

    status: int
    headers: dict[str, str]
    body: bytes

    def sealed(self, post: KeyedPost, sealer: Sealer) -> bytes:
        """Return headers and body sealed for the organization and its key."""
        plain = orjson.dumps(self.headers) + b"\n" + self.body  # JSON in one line: it holds no other
        return sealer.seal(plain, organization=post.organization_id, row=post.key, purpose=ANSWER_PURPOSE)

    def repeated(self) -> Response:
        """Return it as the answer to a repeat."""
        return Response(self.body, self.status, {**self.headers, REPLAYED_HEADER: "true"})


def answer_of(response: Response) -> Answer:
    """Return what to keep of a response: its status, its body and the headers that mean something later."""
    headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
    return Answer(response.status_code, headers, bytes(response.body))


def opened(sealed: bytes, status: int, post: KeyedPost, sealer: Sealer) -> Answer:
    """Return the answer that `sealed` made; raises SealingError without the master key that sealed it."""
    plain = sealer.open(sealed, organization=post.organization_id, row=post.key, purpose=ANSWER_PURPOSE)
    headers, _, body = plain.partition(b"\n")
    return Answer(status, cast(dict[str, str], orjson.loads(headers)), body)
