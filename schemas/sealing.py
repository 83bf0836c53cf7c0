"""Secrets at rest and on topics: sealed with AES-256-GCM (NIST SP 800-38D), bound to the row that they belong to.

A sealed value is `01`, one byte with the key id's length, the key id, a random 96-bit nonce and the ciphertext with its
tag. The additional data is the organization, the row and what the value is, so that a ciphertext moved to another row
does not open. Random nonces are safe up to 2**32 values a key (SP 800-38D, 8.3).
"""

import base64
import binascii
import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from schemas.errors import HooklineError

_VERSION: Final = b"\x01"
_NONCE_BYTES: Final = 12
KEY_BYTES: Final = 32

SECRET_PURPOSE: Final = "subscription-secret"  # noqa: S105 - of the key bytes that sign a subscription's webhooks
HEADERS_PURPOSE: Final = "subscription-headers"  # the JSON object of a subscriber's own request headers


class SealingError(HooklineError):
    """A master key is unfit, or a sealed value does not open with it here. Its text holds no secret."""


class Sealer:
    """Seals and opens secrets with a master key, and opens what earlier keys sealed.

    `keys` maps key ids (1–32 of ASCII) to 32 bytes; `current` names the one that seals.
    """

    def __init__(self, keys: dict[str, bytes], *, current: str) -> None:
        if current not in keys:
            raise SealingError(f"there is no master key {current!r} among the {len(keys)} given")
        for key_id, key in keys.items():
            if not (1 <= len(key_id) <= 32 and key_id.isascii() and key_id.isprintable()):
                raise SealingError("a master key's id is 1 to 32 printable ASCII characters")
            if len(key) != KEY_BYTES:
                raise SealingError(f"master key {key_id!r} holds {len(key)} bytes; AES-256 wants {KEY_BYTES}")
        self._current = current
        self._keys = dict(keys)
        self._ciphers = {key_id: AESGCM(key) for key_id, key in keys.items()}

    @property
    def current(self) -> str:
        """The id of the key that seals."""
        return self._current

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The ids of all keys, the one that seals first."""
        return (self._current, *(key_id for key_id in self._ciphers if key_id != self._current))

    def derived(self, purpose: str) -> list[bytes]:
        """Return a key of 32 bytes for `purpose` from each master key, the current one's first (HKDF, RFC 5869).

        What they sign can be made by whoever has the master key and by nobody who has the database only.
        """
        return [
            HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=purpose.encode()).derive(self._keys[key_id])
            for key_id in self.key_ids
        ]

    def seal(self, plain: bytes, *, organization: str, row: str, purpose: str) -> bytes:
        """Return `plain` sealed for one place; sealing twice gives different bytes."""
        nonce = os.urandom(_NONCE_BYTES)
        header = sealed_prefix(self._current)
        sealed = self._ciphers[self._current].encrypt(nonce, plain, _bound_to(organization, row, purpose))
        return header + nonce + sealed

    def resealed(self, sealed: bytes, *, organization: str, row: str, purpose: str) -> bytes:
        """Return a value sealed with the current key: itself when it is already, raises SealingError as `open` does."""
        if sealed.startswith(sealed_prefix(self._current)):
            return sealed
        plain = self.open(sealed, organization=organization, row=row, purpose=purpose)
        return self.seal(plain, organization=organization, row=row, purpose=purpose)

    def open(self, sealed: bytes, *, organization: str, row: str, purpose: str) -> bytes:
        """Return what was sealed for this place; raises SealingError when it was not, or not with a key we have."""
        key_id = key_id_of(sealed)
        nonce_at = 2 + sealed[1]
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise SealingError(f"sealed with a master key that is not here ({key_id!r}): add it to the settings")
        nonce, ciphertext = sealed[nonce_at : nonce_at + _NONCE_BYTES], sealed[nonce_at + _NONCE_BYTES :]
        try:
            return cipher.decrypt(nonce, ciphertext, _bound_to(organization, row, purpose))
        except (InvalidTag, ValueError):
            raise SealingError(
                f"does not open: damaged, moved from another row, or another master key {key_id!r}"
            ) from None


def key_id_of(sealed: bytes) -> str:
    """Return the id of the key that sealed a value; raises SealingError when it is none."""
    if sealed[:1] != _VERSION or len(sealed) < 2:
        raise SealingError("not a sealed value")
    return sealed[2 : 2 + sealed[1]].decode("ascii", "replace")


def sealed_prefix(key_id: str) -> bytes:
    """Return what every value begins with that this key sealed, and none that another one did."""
    return _VERSION + bytes([len(key_id)]) + key_id.encode()


def new_master_key() -> str:
    """Return a fresh master key as the settings take it: an id, a colon and base64 of 32 random bytes."""
    return f"k{os.urandom(3).hex()}:{base64.b64encode(os.urandom(KEY_BYTES)).decode()}"


def sealer_of(master_keys: str) -> Sealer:
    """Return the sealer for a setting's value: `id:base64`, several between commas, the first one seals.

    Raises SealingError saying how to make one; the message never holds the key.
    """
    keys: dict[str, bytes] = {}
    for part in master_keys.split(","):
        key_id, separator, encoded = part.strip().partition(":")
        if key_id in keys:
            raise SealingError("two master keys have the same id, and what the first sealed would not open")
        try:
            keys[key_id] = base64.b64decode(encoded.encode("ascii"), validate=True)
        except (binascii.Error, UnicodeEncodeError):
            separator = ""
        if not separator:
            raise SealingError("the master key must be id:base64 of 32 bytes; `hookline new-master-key` prints one")
    return Sealer(keys, current=next(iter(keys)))


def _bound_to(organization: str, row: str, purpose: str) -> bytes:
    # Lengths before the parts: no two places share their bytes, whatever an id contains.
    return b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in (organization, row, purpose))
