"""What an API token is: `hkl_` and 32 random bytes, of which only the SHA-256 is kept.

32 random bytes cannot be guessed, so a fast hash protects them as well as a slow one; a password would need argon2.
"""

import base64
import hashlib
import re
import secrets
from typing import Final

from api.credentials import TOKEN_PREFIX

PREFIX_CHARACTERS: Final = 12  # by them a token is found: 8 beyond hkl_, which is 48 of its 256 bits
_RANDOM_BYTES: Final = 32
_TOKEN: Final = re.compile(rf"{TOKEN_PREFIX}[A-Za-z0-9_-]{{43}}")


def new_token() -> str:
    """Return a fresh token: `hkl_` and 43 characters of base64url (RFC 4648, 5)."""
    drawn = secrets.token_bytes(_RANDOM_BYTES)
    return TOKEN_PREFIX + base64.urlsafe_b64encode(drawn).decode().rstrip("=")


def is_token(text: str) -> bool:
    """Return whether this could be a token: what could not is looked up nowhere."""
    return _TOKEN.fullmatch(text) is not None


def prefix_of(token: str) -> str:
    """Return what a token is found by, and shown as."""
    return token[:PREFIX_CHARACTERS]


def digest_of(token: str) -> bytes:
    """Return what is kept of a token: its SHA-256."""
    return hashlib.sha256(token.encode("ascii")).digest()
