"""Codes, refresh tokens and client secrets: random text that is shown once and kept as SHA-256 only.

32 random bytes cannot be guessed, so a fast digest is enough (NIST SP 800-63B, 5.1.2.2, asks for slow ones only of what
people choose), and two are compared by their digests.
"""

import hashlib
import secrets
from typing import Final

CODE_PREFIX: Final = "hkc_"
REFRESH_PREFIX: Final = "hkr_"
SECRET_PREFIX: Final = "hks_"  # noqa: S105 - what every client secret begins with
_RANDOM_BYTES: Final = 32


def new_opaque(prefix: str) -> str:
    """Return a fresh value: the prefix and 32 random bytes in base64url."""
    return prefix + secrets.token_urlsafe(_RANDOM_BYTES)


def digest_of(value: str) -> bytes:
    """Return the SHA-256 of a value, all that is ever kept of it."""
    return hashlib.sha256(value.encode("utf-8", "surrogateescape")).digest()
