"""E-mail addresses: which ones can be an account's, and how they are compared.

A dot-atom and a domain name (RFC 5321, 4.1.2), letters of all scripts included (RFC 6531, 3.3); no quoted local parts
and no address literals, which nobody has and mail servers disagree on.
"""

import re
import unicodedata
from typing import Final

import idna

from schemas.errors import InvalidInput

LONGEST: Final = 254  # bytes (RFC 5321, 4.5.3.1.3)
_LONGEST_LOCAL: Final = 64
_DOT_ATOM: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\U0010ffff-]+")


def check_email(email: str) -> None:
    """Raise InvalidInput unless `email` can be an account's address."""
    local, at, domain = email.rpartition("@")
    fits = at and len(email.encode()) <= LONGEST and len(local.encode()) <= _LONGEST_LOCAL
    if not (fits and email.isprintable() and all(_DOT_ATOM.fullmatch(part) for part in local.split("."))):
        raise InvalidInput("must be an e-mail address, such as user@example.com")
    try:
        _domain_key(domain)
    except (idna.IDNAError, UnicodeError):
        raise InvalidInput("must be an e-mail address: what follows the @ is no domain name") from None


def email_key_of(email: str) -> str:
    """Return an address as it is compared: in one case, its domain in ASCII. Raises InvalidInput when it is none."""
    check_email(email)
    local, _, domain = email.rpartition("@")
    return f"{unicodedata.normalize('NFKC', local).casefold()}@{_domain_key(domain)}"


def _domain_key(domain: str) -> str:
    return idna.encode(domain, uts46=True, std3_rules=True).decode().lower()
