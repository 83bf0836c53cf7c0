"""Answers with an entity tag for what has no version of its own: the tag is a digest of what is shown."""

import hashlib
from http import HTTPStatus

from fastapi import Request, Response
from pydantic import BaseModel

from api.preconditions import is_unchanged


def tagged(request: Request, body: BaseModel) -> Response:
    """Return a body with the tag of its bytes; 304 when the caller has it already.

    Raises PreconditionFailed when the request's conditions do not hold.
    """
    raw = body.model_dump_json(by_alias=True).encode()
    etag = f'"{hashlib.blake2b(raw, digest_size=16).hexdigest()}"'
    if is_unchanged(request, etag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={"ETag": etag})
    return Response(raw, headers={"ETag": etag}, media_type="application/json")
