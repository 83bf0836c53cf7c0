"""Signatures of outgoing webhooks, HMAC-SHA256 in three styles.

`standard` is Standard Webhooks 1.0.0, symmetric (v1):
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
`timestamped` is Stripe's, `t=…,v1=…`: https://docs.stripe.com/webhooks#verify-manually
`hex` is GitHub's, `sha256=…`: https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
"""

import base64
import binascii
import hmac
import os
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from schemas.errors import InvalidInput
from schemas.header_names import NEXT_SUFFIX
from schemas.records import SignatureStyle

PREFIX: Final = "whsec_"
SHORTEST_SECRET_BYTES: Final = 24  # the specification's bounds
LONGEST_SECRET_BYTES: Final = 64
_NEW_SECRET_BYTES: Final = 32  # as long as SHA-256's output: RFC 2104, 3

ID_HEADER: Final = "webhook-id"
TIMESTAMP_HEADER: Final = "webhook-timestamp"
SIGNATURE_HEADER: Final = "webhook-signature"
# Where each style's signature stands unless the subscriber says otherwise. Not Standard Webhooks' name for a value that
# is not: its libraries would call it a forgery. The hex style's is the one that its libraries look for.
SIGNATURE_HEADERS: Final = {
    SignatureStyle.STANDARD: SIGNATURE_HEADER,
    SignatureStyle.TIMESTAMPED: "hookline-signature",
    SignatureStyle.HEX: "x-hub-signature-256",
}


def new_secret() -> str:
    """Return a fresh secret, `whsec_` and base64 of 32 random bytes; in every style a receiver is given this text."""
    return PREFIX + base64.b64encode(os.urandom(_NEW_SECRET_BYTES)).decode()


def key_of(secret: str) -> bytes:
    """Return the 24–64 bytes that a `whsec_…` secret stands for; raises InvalidInput, never quoting the secret."""
    if not secret.startswith(PREFIX):
        raise InvalidInput(f"a secret begins with {PREFIX}")
    encoded = secret.removeprefix(PREFIX).encode(errors="replace")
    try:
        key = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        key = b""
    if base64.b64encode(key) != encoded:  # Python's decoder lets padding pass that others refuse, by its version
        raise InvalidInput(f"what follows {PREFIX} must be base64 (RFC 4648, 4) with its padding")
    if not SHORTEST_SECRET_BYTES <= len(key) <= LONGEST_SECRET_BYTES:
        raise InvalidInput(f"a secret holds {SHORTEST_SECRET_BYTES} to {LONGEST_SECRET_BYTES} bytes, not {len(key)}")
    return key


def hmac_key(key: bytes, style: SignatureStyle) -> bytes:
    """Return what a secret's bytes are given to HMAC as.

    Standard Webhooks: as they are. The libraries of the other two styles give HMAC the secret's text, so there it is
    the whole `whsec_…`; and where the bytes are themselves printable ASCII, these, because then they are the text of a
    secret that was brought from an older system, whose receivers go on with what they have. No random secret is both
    (32 bytes: 1 in 10**13).
    """
    if style is SignatureStyle.STANDARD or (key.isascii() and key.decode("ascii").isprintable()):
        return key
    return PREFIX.encode() + base64.b64encode(key)


def signed_headers(
    webhook_id: str,
    body: bytes,
    keys: Sequence[bytes],
    *,
    at: datetime,
    style: SignatureStyle = SignatureStyle.STANDARD,
    name: str | None = None,
) -> dict[str, str]:
    """Return the headers that name and sign `body` in a style; `keys` are `hmac_key`s, at least one, newest first.

    `name` is the signature's header, None the style's own. `at` is the attempt's own time, so that a retry a day later
    still passes a receiver's 5-minute check. While a secret rotates the first two styles carry one signature a key. In
    the hex style a header has room for one: the oldest key's, so that a receiver which knows only the old secret goes
    on until that expires; those of the newer keys are in `<name>-next`, newest first. `webhook-timestamp` is sent where
    it is signed, in the first style only.
    """
    name = name or SIGNATURE_HEADERS[style]
    if style is SignatureStyle.HEX:
        return {ID_HEADER: webhook_id, **_hex_headers(name, [_hexadecimal(key, body) for key in keys])}
    timestamp = str(int(at.timestamp()))
    if style is SignatureStyle.TIMESTAMPED:
        content = timestamp.encode() + b"." + body
        return {
            ID_HEADER: webhook_id,
            name: ",".join([f"t={timestamp}", *(f"v1={_hexadecimal(key, content)}" for key in keys)]),
        }
    content = f"{webhook_id}.{timestamp}.".encode() + body
    signatures = (base64.b64encode(hmac.digest(key, content, "sha256")) for key in keys)
    return {
        ID_HEADER: webhook_id,
        TIMESTAMP_HEADER: timestamp,
        name: " ".join(f"v1,{signature.decode()}" for signature in signatures),
    }


def _hex_headers(name: str, signatures: list[str]) -> dict[str, str]:
    *newer, oldest = (f"sha256={signature}" for signature in signatures)
    return {name: oldest, **({name + NEXT_SUFFIX: ", ".join(newer)} if newer else {})}


def _hexadecimal(key: bytes, content: bytes) -> str:
    return hmac.digest(key, content, "sha256").hex()
