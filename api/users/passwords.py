"""Passwords: which ones are good enough, and what is kept of them: argon2id (RFC 9106) through pwdlib.

The common ones are in `common_passwords.txt`, which says where it is from. A password is normalised before it is
hashed, so that it can be typed on any keyboard (in the spirit of RFC 8265, 4.2, with NFKC).
"""

import asyncio
import os
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Protocol

from pwdlib.hashers.argon2 import Argon2Hasher
from pwdlib.hashers.bcrypt import BcryptHasher

from schemas.errors import InvalidInput

SHORTEST: Final = 8  # characters (NIST SP 800-63B, 3.1.1.2)
LONGEST: Final = 256
_FEWEST_DIFFERENT: Final = 4
_MOST_ADDED: Final = 5  # characters around a common one that do not make it another: Password2026!
_ADDED: Final = "0123456789!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
_BCRYPT_BYTES: Final = 72  # bcrypt reads no more, and its library refuses more
_COMMON_FILE: Final = Path(__file__).with_name("common_passwords.txt")

_ARGON2: Final = Argon2Hasher()
# Each hash takes 64 MiB and a core for some 50 ms: more at once would only wait in another place.
_HASHING: Final = ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1), thread_name_prefix="hashing")


class ForeignScheme(Protocol):
    """How another system kept passwords."""

    def identify(self, kept: str) -> bool:
        """Return whether a hash is of this scheme."""
        ...

    def verify(self, password: str, kept: str) -> bool:
        """Return whether a password as it was typed has this hash."""
        ...


class _Bcrypt:
    def identify(self, kept: str) -> bool:
        return BcryptHasher.identify(kept)

    def verify(self, password: str, kept: str) -> bool:
        shortened = password.encode()[:_BCRYPT_BYTES]
        return b"\x00" not in shortened and BcryptHasher().verify(shortened, kept)


_FOREIGN: Final[list[ForeignScheme]] = [_Bcrypt()]


def accept(scheme: ForeignScheme) -> None:
    """Let passwords of another scheme be verified, once each: what a migration brings with it."""
    _FOREIGN.append(scheme)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a password is the one; `new_hash` is to be kept instead of what was, when it is not None."""

    holds: bool
    new_hash: str | None = None


def check_password(password: str, *, email: str | None = None, pointer: str = "/password") -> None:
    """Raise InvalidInput, saying what to do, unless a password is good enough for the account of `email`."""
    plain = _normalised(password)
    if not SHORTEST <= len(plain) <= LONGEST:
        raise InvalidInput(f"must have {SHORTEST} to {LONGEST} characters", pointer=pointer)
    if any(unicodedata.category(each) in {"Cc", "Cs"} for each in plain):
        raise InvalidInput("must have no control characters", pointer=pointer)
    if len(set(plain)) < _FEWEST_DIFFERENT:
        raise InvalidInput(f"must have at least {_FEWEST_DIFFERENT} different characters", pointer=pointer)
    if _is_common(plain.casefold()):
        raise InvalidInput("is one of the common passwords that are tried first: choose another", pointer=pointer)
    if email is not None and plain.casefold() in {email.casefold(), email.casefold().partition("@")[0]}:
        raise InvalidInput("must not be the e-mail address: choose another", pointer=pointer)


async def hashed(password: str) -> str:
    """Return what is kept of a password."""
    return await asyncio.get_running_loop().run_in_executor(_HASHING, _hash, password)


async def verified(password: str, kept: str | None) -> Verdict:
    """Return whether `kept` is of this password.

    None is nobody's: a hash that nobody has is verified then, so that it takes as long. A hash of another scheme, or of
    weaker parameters, verifies once: the verdict brings the one to keep from now on.
    """
    return await asyncio.get_running_loop().run_in_executor(_HASHING, _verify, password, kept)


def _hash(password: str) -> str:
    return _ARGON2.hash(_normalised(password))


def _verify(password: str, kept: str | None) -> Verdict:
    nobodys = _nobodys_hash()
    if len(password) > LONGEST:  # nobody could have chosen it; hashing it would cost what its sender likes
        password, kept = password[:LONGEST], None
    foreign = None if kept is None or _ARGON2.identify(kept) else _scheme_of(kept)
    if foreign is not None and kept is not None:
        return Verdict(holds=True, new_hash=_hash(password)) if foreign.verify(password, kept) else Verdict(holds=False)
    if kept is None or not _ARGON2.identify(kept):
        _ARGON2.verify(_normalised(password), nobodys)
        return Verdict(holds=False)
    if not _ARGON2.verify(_normalised(password), kept):
        return Verdict(holds=False)
    return Verdict(holds=True, new_hash=_hash(password) if _ARGON2.check_needs_rehash(kept) else None)


def _scheme_of(kept: str) -> ForeignScheme | None:
    return next((scheme for scheme in _FOREIGN if scheme.identify(kept)), None)


@cache
def _nobodys_hash() -> str:
    return _ARGON2.hash(os.urandom(16))


def _normalised(password: str) -> str:
    return unicodedata.normalize("NFKC", password)


def _is_common(plain: str) -> bool:
    stem = plain.strip(_ADDED)
    return plain in _common() or (len(plain) - len(stem) <= _MOST_ADDED and stem in _common())


@cache
def _common() -> frozenset[str]:
    lines = _COMMON_FILE.read_text(encoding="utf-8").splitlines()
    return frozenset(line for line in lines if not line.startswith("#"))
