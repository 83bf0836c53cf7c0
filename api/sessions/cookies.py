"""The cookie of a browser session: a random secret, signed, so that made-up ones are told without asking the database.

The database has the secret's SHA-256; the CSRF token is derived from the secret, so that nothing more is kept.
"""

import base64
import hashlib
import hmac
import os
from typing import Final

from itsdangerous import BadSignature, Signer

from schemas.sealing import Sealer

_SECRET_BYTES: Final = 32
_LONGEST: Final = 200


def new_secret() -> str:
    """Return a fresh session's secret: 32 random bytes in base64url."""
    return base64.urlsafe_b64encode(os.urandom(_SECRET_BYTES)).decode().rstrip("=")


def digest_of(secret: str) -> bytes:
    """Return what is kept of a secret."""
    return hashlib.sha256(secret.encode()).digest()


def csrf_token_of(secret: str) -> str:
    """Return the token that goes with what changes something (a synchronizer token; OWASP's CSRF cheat sheet)."""
    derived = hmac.digest(secret.encode(), b"hookline csrf", "sha256")
    return base64.urlsafe_b64encode(derived).decode().rstrip("=")


class SessionCookies:
    """Signs the secret for its cookie, and reads what a cookie brings."""

    def __init__(self, sealer: Sealer) -> None:
        self._signer = Signer(
            sealer.derived("session-cookies")[::-1],  # itsdangerous signs with the last one
            salt="hookline session",
            sep=".",
            key_derivation="hmac",
            digest_method=hashlib.sha256,
        )

    def value_of(self, secret: str) -> str:
        """Return the cookie's value: `<secret>.<signature>`."""
        return self._signer.sign(secret).decode()

    def secret_in(self, value: str) -> str | None:
        """Return the secret that a cookie brings; None when we did not sign it."""
        if len(value) > _LONGEST or not value.isascii():
            return None
        try:
            return self._signer.unsign(value).decode()
        except BadSignature:
            return None
