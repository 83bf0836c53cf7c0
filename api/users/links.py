"""Links that users are sent: each is used once, before its end, and only while the address it went to is theirs."""

from datetime import UTC, datetime, timedelta
from typing import Final

import uuid_utils
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from api.errors import Flaw, InvalidRequest, TooManyRequests
from api.mail.queueing import Template, queue_mail
from api.services import Services
from api.signed_links import LinkPurpose
from api.users.finding import user_to_change
from api.users.tables import LinkRow, UserRow

_RESET_LASTS: Final = timedelta(hours=1)
_MOST_AN_HOUR: Final = 5  # of one purpose to one account: nobody's mailbox is filled through us
_TEMPLATES: Final = {LinkPurpose.VERIFICATION: Template.VERIFICATION, LinkPurpose.RESET: Template.RESET}


async def send_link(db: AsyncSession, services: Services, user: UserRow, purpose: LinkPurpose) -> None:
    """Send a user a link when the transaction commits; raises TooManyRequests when they were sent many already."""
    now = datetime.now(UTC)
    lately = select(func.count()).where(
        LinkRow.user_id == user.id, LinkRow.purpose == purpose, LinkRow.created_at > now - timedelta(hours=1)
    )
    if (await db.execute(lately)).scalar_one() >= _MOST_AN_HOUR:
        raise TooManyRequests(
            f"{_MOST_AN_HOUR} such e-mails went to this account within an hour", headers={"Retry-After": "3600"}
        )
    lasts = _RESET_LASTS if purpose is LinkPurpose.RESET else timedelta(hours=services.settings.link_hours)
    link = LinkRow(
        id=f"lnk_{uuid_utils.uuid7().hex}",
        user_id=user.id,
        purpose=purpose,
        email=user.email,
        created_at=now,
        expires_at=now + lasts,
    )
    db.add(link)
    await db.flush()
    await queue_mail(
        db,
        _TEMPLATES[purpose],
        organization_id=user.organization_id,
        recipient=user.email,
        parameters={"name": user.name},
        link=(purpose, link.id),
    )


async def user_of_link(db: AsyncSession, services: Services, purpose: LinkPurpose, token: str) -> UserRow:
    """Return whose link it is, locked, and use the link up: one UPDATE, so that of many at once one succeeds.

    Raises InvalidRequest, the same for every link that does not hold.
    """
    now, link_id = datetime.now(UTC), services.links.read(purpose, token)
    link = None if link_id is None else await db.get(LinkRow, link_id)
    # The user's row first, as everywhere: two links of one user must not wait for each other.
    user = None if link is None else await user_to_change(db, link.user_id)
    if link is None or user is None or user.email != link.email:
        raise no_link()
    used = (
        update(LinkRow)
        .where(
            LinkRow.id == link_id,
            LinkRow.purpose == purpose,
            LinkRow.used_at.is_(None),
            LinkRow.expires_at > now,
        )
        .values(used_at=now)
        .returning(LinkRow.id)
        .execution_options(synchronize_session=False)
    )
    if (await db.execute(used)).scalar_one_or_none() is None:
        raise no_link()
    return user


async def use_up_links(db: AsyncSession, user_id: str, purpose: LinkPurpose, *, at: datetime) -> None:
    """End the other links of a purpose that a user was sent."""
    await db.execute(
        update(LinkRow)
        .where(LinkRow.user_id == user_id, LinkRow.purpose == purpose, LinkRow.used_at.is_(None))
        .values(used_at=at)
        .execution_options(synchronize_session=False)
    )


def no_link() -> InvalidRequest:
    """Return how a link is refused that is none, was used or has ended."""
    flaw = Flaw("is no link that can be used (any more): ask for a new one", pointer="/token")
    return InvalidRequest(f"/token: {flaw.detail}", flaws=[flaw])
