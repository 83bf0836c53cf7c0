"""Redirect URIs: which may be registered, and whether a given one is (RFC 6749, 3.1.2; RFC 9700, 4.1; RFC 8252, 7).

Read by a grammar of our own: what parsers disagree about (user names, backslashes, odd numbers, dot segments) is
refused when it is registered, and afterwards characters are compared, never parts.
"""

import re
from collections.abc import Iterable
from typing import Final

from schemas.errors import InvalidInput

LONGEST_URI: Final = 2048  # characters
MOST_URIS: Final = 20
_CHARACTERS: Final = re.compile(
    r"(?:[A-Za-z0-9._~:/?\[\]@!$&'()+,;=-]|%[0-9A-Fa-f]{2})+"
)  # RFC 3986, 2; no "*", no "#"
_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_PORT: Final = r"[1-9][0-9]{0,4}"
_TARGET: Final = r"(?:[/?].*)?"
_HTTPS: Final = re.compile(
    rf"https://(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:.]{{2,45}}\])(?::(?P<port>{_PORT}))?{_TARGET}"
)
# RFC 8252, 7.3: the literals, not "localhost", which a hosts file may send elsewhere (8.3).
_LOOPBACK: Final = re.compile(rf"(?P<host>http://(?:127\.0\.0\.1|\[::1\]))(?::(?P<port>{_PORT}))?(?P<target>{_TARGET})")
_PRIVATE_USE: Final = re.compile(r"[a-z][a-z0-9+-]*(?:\.[a-z0-9+-]+)+:/[^/].*|[a-z][a-z0-9+-]*(?:\.[a-z0-9+-]+)+:/")
_DOT_SEGMENT: Final = re.compile(r"/(?:\.|%2e){1,2}(?:[/?]|$)", re.IGNORECASE)
# What we add ourselves (RFC 6749, 4.1.2; RFC 9207): a client that read the first of two would read a stranger's.
_OURS: Final = re.compile(r"[?&](?:code|state|iss|error|error_description|error_uri|response)(?:[=&]|$)")


def checked_redirect_uri(uri: str, *, is_public: bool) -> str:
    """Return a URI that may be registered, unchanged; raises InvalidInput, whose detail says what to write.

    https, http on 127.0.0.1 or [::1], and for public clients private-use schemes with a dot (RFC 8252, 7.1).
    """
    if not uri or len(uri) > LONGEST_URI:
        raise InvalidInput(f"a redirect URI has 1 to {LONGEST_URI:,} characters")
    if "#" in uri:
        raise InvalidInput("leave out the fragment (# and what follows): RFC 6749, 3.1.2")
    if "*" in uri:
        raise InvalidInput("name each redirect URI whole: there are no wildcards")
    if not _CHARACTERS.fullmatch(uri) or _DOT_SEGMENT.search(uri):
        raise InvalidInput("write it as RFC 3986 does, others percent-encoded, without . and .. as segments")
    if _OURS.search(uri):
        raise InvalidInput("leave code, state, iss and error out of the query: the answer adds its own")
    found = _HTTPS.fullmatch(uri) or _LOOPBACK.fullmatch(uri)
    if found:
        if int(found["port"] or 1) > 65535 or "@" in uri.split("/")[2]:
            raise InvalidInput("a port is a number from 1 to 65535")
        return uri
    if is_public and _PRIVATE_USE.fullmatch(uri):
        return uri
    private = ", or a scheme of your own with a dot, com.example.app:/callback" if is_public else ""
    raise InvalidInput(f"start with https:// and a host in lower case, or http://127.0.0.1 or http://[::1]{private}")


def is_registered(uri: str, registered: Iterable[str]) -> bool:
    """Return whether `uri` is one of those registered: character by character (RFC 9700, 2.1).

    Only the port of a loopback literal may be another one: an application on a desktop listens where it can (RFC 8252,
    7.3).
    """
    return any(uri == each or _differ_in_port_only(uri, each) for each in registered)


def _differ_in_port_only(uri: str, registered: str) -> bool:
    given, known = _LOOPBACK.fullmatch(uri), _LOOPBACK.fullmatch(registered)
    if not given or not known or int(given["port"] or 1) > 65535:
        return False
    return (given["host"], given["target"]) == (known["host"], known["target"])
