"""Links in e-mails: signed by a key that is not in the database, so that no row of it opens anything.

What a link stands for (an invitation, a row of `user_links`) has its own end and its own one use; the signature only
says that the link is ours (https://itsdangerous.palletsprojects.com/).
"""

import hashlib
from enum import StrEnum
from typing import Final

from itsdangerous import BadSignature, Signer

from schemas.sealing import Sealer

_LONGEST: Final = 300


class LinkPurpose(StrEnum):
    """What a link is for: one of another purpose is no link."""

    INVITATION = "invitation"
    VERIFICATION = "verification"
    RESET = "reset"


class SignedLinks:
    """Signs and reads what stands in links."""

    def __init__(self, sealer: Sealer, *, public_url: str) -> None:
        self._keys = sealer.derived("signed-links")[::-1]  # itsdangerous signs with the last one
        self._public_url = public_url.rstrip("/")

    def url_of(self, purpose: LinkPurpose, identifier: str) -> str:
        """Return the link to send: a page of the API, with the signed id as `token`."""
        return f"{self._public_url}/{purpose}?token={self.token_of(purpose, identifier)}"

    def token_of(self, purpose: LinkPurpose, identifier: str) -> str:
        """Return the signed id: `<id>.<signature>`."""
        return self._signer(purpose).sign(identifier).decode()

    def read(self, purpose: LinkPurpose, token: str) -> str | None:
        """Return the id that a token stands for; None when we did not sign it for this purpose."""
        if len(token) > _LONGEST or not token.isascii():
            return None
        try:
            return self._signer(purpose).unsign(token).decode()
        except BadSignature:
            return None

    def _signer(self, purpose: LinkPurpose) -> Signer:
        return Signer(
            self._keys, salt=f"hookline {purpose}", sep=".", key_derivation="hmac", digest_method=hashlib.sha256
        )
