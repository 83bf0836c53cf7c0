"""Names of request headers that a subscriber may choose: RFC 9110 tokens that neither HTTP nor Hookline sets."""

import re
from collections.abc import Iterable
from typing import Final

from schemas.errors import InvalidInput

NEXT_SUFFIX: Final = (
    "-next"  # after the signature header's name: the second header of the hex style (schemas/signing.py)
)

_LONGEST: Final = 100
_TOKEN: Final = re.compile(rf"[!#$%&'*+.^_`|~0-9A-Za-z-]{{1,{_LONGEST}}}")  # RFC 9110, 5.6.2
_RESERVED: Final = frozenset(
    {
        # What HTTP/1.1 itself uses between two hops (RFC 9110, 7.6.1), and what would split or reroute a request.
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
        "transfer-encoding", "upgrade", "expect", "host", "content-length", "content-type", "content-encoding",
        "accept-encoding", "user-agent", "traceparent", "tracestate",
    }
)  # fmt: skip
_HOOKLINES: Final = "hookline-"
_STANDARD: Final = frozenset({"webhook-id", "webhook-timestamp"})  # Standard Webhooks; its third one can be renamed
_MISREAD: Final = frozenset({"cookie", "set-cookie", "forwarded"})  # receivers and proxies parse them before they look


def checked_token(name: str) -> str:
    """Return a header's name as it was given; raises InvalidInput unless it is a token that HTTP leaves to us."""
    if not _TOKEN.fullmatch(name):
        raise InvalidInput(f"a header's name is 1 to {_LONGEST} letters, digits and !#$%&'*+-.^_`|~")
    if name.lower() in _RESERVED:
        raise InvalidInput(f"{name} is set by Hookline or by HTTP itself; choose another name")
    return name


def checked_header_name(name: str) -> str:
    """Return the name that a subscriber chose for one of our own headers, as it was given.

    Raises InvalidInput for what is no token (RFC 9110, 5.6.2), what HTTP, a proxy or another header of ours uses,
    and for `content-…`, which is about the body. The name of a signature header may be `webhook-signature`.
    """
    lowered = checked_token(name).lower()
    if lowered in _STANDARD or lowered.startswith(_HOOKLINES):
        raise InvalidInput(f"{name} is a header that Hookline sends anyhow; choose another name")
    if lowered in _MISREAD or lowered.startswith(("content-", "x-forwarded-")):
        raise InvalidInput(f"{name} means something else to servers and proxies; choose another name")
    if len(name) + len(NEXT_SUFFIX) > _LONGEST:
        raise InvalidInput(f"a header's name of your choice has at most {_LONGEST - len(NEXT_SUFFIX)} characters")
    return name


def check_header_names(
    *, signature: str, event_type: str | None = None, delivery_id: str | None = None, own: Iterable[str] = ()
) -> None:
    """Raise InvalidInput, with the field's pointer, when two of a subscription's headers would have one name.

    `signature` is the name in force (the style's own when the subscriber chose none), `own` are the names of the
    subscriber's own request headers. Names are the same in upper and lower case (RFC 9110, 5.1).
    """
    seen = {name.lower(): f"the header {name} of your own" for name in own}
    chosen = (
        ("signature_header", signature, "the signature"),
        ("signature_header", signature + NEXT_SUFFIX, "the next signature while a secret rotates"),
        ("event_type_header", event_type, "the event's type"),
        ("delivery_id_header", delivery_id, "the delivery's id"),
    )
    for field, name, meaning in chosen:
        if name is None:
            continue
        if (taken := seen.get(name.lower())) is not None:
            raise InvalidInput(
                f"{name} would carry {meaning} and also {taken}: give each its own name", pointer=f"/{field}"
            )
        seen[name.lower()] = meaning
