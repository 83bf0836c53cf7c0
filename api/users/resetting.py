"""What users do with links of their own: verify an address, have a new password. For routes and pages alike."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from api.database import transaction_of
from api.errors import TooManyRequests
from api.services import Services
from api.sessions.failures import SignInFailures
from api.signed_links import LinkPurpose
from api.users.addresses import email_key_of
from api.users.changes import address_verified, password_set
from api.users.evenly import no_sooner_than
from api.users.finding import user_of_email, user_to_change
from api.users.links import no_link, send_link, use_up_links, user_of_link
from api.users.passwords import check_password, hashed
from api.users.revoking import revoke_everything
from api.users.tables import UserRow
from schemas.errors import InvalidInput

_ASKED_S: Final = 0.2  # well over what a transaction takes: whether there was one does not show


async def verify_address(db: AsyncSession, services: Services, token: str) -> UserRow:
    """Return the user whose address a link verified; `db` is bound to no organization. Raises InvalidRequest."""
    user = await user_of_link(db, services, LinkPurpose.VERIFICATION, token)
    await address_verified(db, user)
    return user


async def ask_for_reset(services: Services, email: str) -> None:
    """Send a link to whoever has an account of this address; takes as long when nobody has.

    Nothing goes to a locked account, nor to one that was sent many links already.
    """
    async with no_sooner_than(_ASKED_S):
        with suppress(InvalidInput, TooManyRequests):
            async with transaction_of(services.engine) as db:
                user = await user_of_email(db, email_key_of(email))
                user = None if user is None else await user_to_change(db, user.id)
                if user is not None and user.locked_at is None:
                    await send_link(db, services, user, LinkPurpose.RESET)


async def reset_password(db: AsyncSession, services: Services, token: str, password: str) -> UserRow:
    """Return the user who has a new password by a link that came to their address, which is theirs then.

    Sessions and grants end, and the failures of the account are forgotten. Raises InvalidRequest and InvalidInput; the
    link can be used again after the latter, because nothing was changed.
    """
    user = await user_of_link(db, services, LinkPurpose.RESET, token)
    if user.locked_at is not None:
        raise no_link()
    check_password(password, email=user.email)
    now = datetime.now(UTC)
    await password_set(db, user, await hashed(password), method="reset")
    await address_verified(db, user)
    await use_up_links(db, user.id, LinkPurpose.RESET, at=now)
    await revoke_everything(db, user.id, at=now, reason="password_reset")
    await SignInFailures(services.limits).forget(user.email)
    services.callers.forget()
    return user
