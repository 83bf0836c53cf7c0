"""How often somebody may try to sign in: by account, from wherever; and by address, to whichever account.

A try is counted before the password is looked at, so that many at once do not all pass; what succeeds is taken back for
its account. Whether the account is there makes no difference.
"""

import hashlib
from typing import Final

from api.limits.defaults import Limit
from api.limits.taking import RateLimits
from api.users.addresses import email_key_of
from schemas.errors import InvalidInput

BY_ACCOUNT: Final = Limit(10, 15 * 60)
BY_ADDRESS: Final = Limit(30, 60)
_ACCOUNT: Final = "sign-in-account"
_ADDRESS: Final = "sign-in-address"


class SignInFailures:
    """Counts where rate limits are counted."""

    def __init__(self, limits: RateLimits) -> None:
        self._limits = limits

    async def count(self, email: str, address: str) -> None:
        """Count a try; raises TooManyRequests."""
        await self._limits.take_tries(_ADDRESS, BY_ADDRESS, address)
        await self._limits.take_tries(_ACCOUNT, BY_ACCOUNT, _account_of(email))

    async def forget(self, email: str) -> None:
        """Forget an account's tries: it was signed in to."""
        await self._limits.forget_tries(_ACCOUNT, BY_ACCOUNT, _account_of(email))


def _account_of(email: str) -> str:
    try:
        key = email_key_of(email)  # every spelling of an address counts as one
    except InvalidInput:
        key = email
    return hashlib.sha256(key.encode()).hexdigest()
