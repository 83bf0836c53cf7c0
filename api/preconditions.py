"""Conditional requests: entity tags, If-Match and If-None-Match (RFC 9110, 8.8.3 and 13)."""

import re
from typing import Annotated, Final

from fastapi import Depends, Header, Request

from api.errors import PreconditionFailed

_TAG: Final = re.compile(r'(W/)?("[^"]*")')
_SHOWN_SO: Final = re.compile(r'(?<=\d)-[^"]*"$')
_SAFE: Final = {"GET", "HEAD"}


async def _if_match(
    if_match: Annotated[
        str | None, Header(description="Do it only if the ETag is one of these, else 412.", examples=['"3"'])
    ] = None,
) -> None:
    """Only for OpenAPI: `is_unchanged` reads the header."""


conditional: Final = Depends(_if_match)


def etag_of(version: int) -> str:
    """Return the strong entity tag of a thing's version."""
    return f'"{version}"'


def is_unchanged(request: Request, etag: str) -> bool:
    """Return whether a GET may be answered with 304.

    Raises PreconditionFailed when the request's conditions do not hold. If-Match compares strongly and goes first,
    If-None-Match compares weakly (13.2.2). The thing exists. For If-Match `"3-failing"` is as good as `"3"`: what
    stands behind a dash says how version 3 was shown.
    """
    wanted = request.headers.get("if-match")
    if wanted is not None and wanted.strip() != "*" and etag not in _versions(_tags(wanted, weak=False)):
        raise PreconditionFailed(f"it has changed: its ETag is {etag}", headers={"ETag": etag})
    unwanted = request.headers.get("if-none-match")
    if unwanted is None or (unwanted.strip() != "*" and etag not in _tags(unwanted, weak=True)):
        return False
    if request.method in _SAFE:
        return True
    raise PreconditionFailed(f"it is there already: its ETag is {etag}", headers={"ETag": etag})


def _tags(header: str, *, weak: bool) -> set[str]:
    return {tag for prefix, tag in _TAG.findall(header) if weak or not prefix}


def _versions(tags: set[str]) -> set[str]:
    return tags | {_SHOWN_SO.sub('"', tag) for tag in tags}
