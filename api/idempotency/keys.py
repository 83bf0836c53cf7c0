"""The `Idempotency-Key` of a POST, and by what two requests are the same.

https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
"""

import hmac
import re
from dataclasses import dataclass
from typing import Final, cast

from fastapi import Request

from api.credentials import Caller
from api.errors import Flaw, InvalidRequest
from schemas.ids import OrganizationId

KEY_HEADER: Final = "Idempotency-Key"
LONGEST_KEY: Final = 255
_KEY: Final = re.compile(r"[!-~]{1,255}")


@dataclass(frozen=True, slots=True)
class KeyedPost:
    """A POST that named a key.

    `fingerprint` is HMAC-SHA-256 of its caller, method, path, query, body and the attributes of a CloudEvent.
    """

    organization_id: OrganizationId
    key: str
    fingerprint: bytes


def keyed_post(request: Request, body: bytes, *, secret: bytes) -> KeyedPost:
    """Return what a request with the header asks to be done once; raises InvalidRequest when its key is none.

    A key belongs to the organization. It is taken as it stands: with quotes around it, it is another key. `secret` is
    not in the database: a body may hold a password, which could be guessed from a hash that anybody can make.
    """
    given = request.headers.getlist(KEY_HEADER)
    if len(given) != 1 or not _KEY.fullmatch(given[0]):
        flaw = Flaw(f"give one key of 1 to {LONGEST_KEY} visible ASCII characters", header=KEY_HEADER)
        raise InvalidRequest(f"{KEY_HEADER}: {flaw.detail}", flaws=[flaw])
    caller = cast(Caller, request.state.caller)
    return KeyedPost(caller.organization_id, given[0], _fingerprint_of(request, body, caller, secret))


def _fingerprint_of(request: Request, body: bytes, caller: Caller, secret: bytes) -> bytes:
    # An answer may hold a secret that allows more than another caller of the organization could have made. What a user
    # or a client did is theirs, whichever access token they show.
    who = caller.user_id or caller.application_id or caller.id
    parts = (
        who.encode(),
        request.method.encode(),
        request.scope["path"].encode(),
        request.scope["query_string"],
        body,
        *_attributes_of(request),
    )
    digest = hmac.new(secret, digestmod="sha256")
    for part in parts:  # lengths before the parts: no two requests share their bytes
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()


def _attributes_of(request: Request) -> list[bytes]:
    """Return what a CloudEvent in binary mode says beside its body: nothing of other requests."""
    headers: list[tuple[bytes, bytes]] = request.scope["headers"]
    return sorted(name + b":" + value for name, value in headers if name.startswith(b"ce-"))
