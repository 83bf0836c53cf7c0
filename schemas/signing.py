"""Signatures of outgoing webhooks: Standard Webhooks 1.0.0, symmetric (v1).

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hmac
import os
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from schemas.errors import InvalidInput

PREFIX: Final = "whsec_"
SHORTEST_SECRET_BYTES: Final = 24  # the specification's bounds
LONGEST_SECRET_BYTES: Final = 64
_NEW_SECRET_BYTES: Final = 32  # as long as SHA-256's output: RFC 2104, 3

ID_HEADER: Final = "webhook-id"
TIMESTAMP_HEADER: Final = "webhook-timestamp"
SIGNATURE_HEADER: Final = "webhook-signature"


def new_secret() -> str:
    """Return a fresh secret, `whsec_` and base64 of 32 random bytes."""
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


def signed_headers(webhook_id: str, body: bytes, keys: Iterable[bytes], *, at: datetime) -> dict[str, str]:
    """Return the three headers that sign `body`, one `v1,…` a key, newest first (rotation signs with both).

    `at` is the attempt's own time, so that a retry a day later still passes a receiver's 5-minute check.
    """
    timestamp = str(int(at.timestamp()))
    content = f"{webhook_id}.{timestamp}.".encode() + body
    signatures = (base64.b64encode(hmac.digest(key, content, "sha256")) for key in keys)
    return {
        ID_HEADER: webhook_id,
        TIMESTAMP_HEADER: timestamp,
        SIGNATURE_HEADER: " ".join(f"v1,{signature.decode()}" for signature in signatures),
    }
