"""What the sender asks of the database. No query here commits."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from api.mail.rendering import Brand, brand_of
from api.mail.tables import MailRow
from api.members.tables import InvitationRow
from api.organizations.tables import OrganizationRow
from api.signed_links import LinkPurpose
from api.users.tables import LinkRow


@dataclass(frozen=True, slots=True)
class Claimed:
    """An e-mail that is this sender's until `next_attempt_at`."""

    mail: MailRow
    brand: Brand
    link_ends_at: datetime | None  # None: there is no link, or it can be used no more


async def due_mail(db: AsyncSession, now: datetime) -> MailRow | None:
    """Return the e-mail that has been due longest, locked; those that another sender holds are passed over."""
    wanted = (
        select(MailRow)
        .where(MailRow.finished_at.is_(None), MailRow.next_attempt_at <= now)
        .order_by(MailRow.next_attempt_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    return (await db.execute(wanted)).scalar_one_or_none()


async def brand_to_show(db: AsyncSession, organization_id: str) -> Brand:
    """Return the branding of an organization."""
    wanted = select(
        func.coalesce(OrganizationRow.display_name, OrganizationRow.name),
        OrganizationRow.primary_color,
        OrganizationRow.logo_url,
    ).where(OrganizationRow.id == organization_id)
    name, color, logo_url = (await db.execute(wanted)).one()
    return brand_of(name=name, color=color, logo_url=logo_url)


async def end_of_link(db: AsyncSession, purpose: str, link_id: str, now: datetime) -> datetime | None:
    """Return until when a link can be used; None when it cannot be any more: it was used, withdrawn, or is over."""
    if purpose == LinkPurpose.INVITATION:
        wanted = select(InvitationRow.expires_at).where(
            InvitationRow.id == link_id,
            InvitationRow.accepted_at.is_(None),
            InvitationRow.withdrawn_at.is_(None),
            InvitationRow.expires_at > now,
        )
    else:
        wanted = select(LinkRow.expires_at).where(
            LinkRow.id == link_id, LinkRow.purpose == purpose, LinkRow.used_at.is_(None), LinkRow.expires_at > now
        )
    return (await db.execute(wanted)).scalar_one_or_none()


async def finished(db: AsyncSession, mail: MailRow, *, state: str, error: str | None, now: datetime) -> None:
    """Mark an e-mail as sent or failed, unless somebody has it by now who claimed it later."""
    await _settled(db, mail, state=state, last_error=error, finished_at=now)


async def put_off(db: AsyncSession, mail: MailRow, *, until: datetime, error: str) -> None:
    """Let an e-mail be tried again at `until`, unless somebody has it by now who claimed it later."""
    await _settled(db, mail, next_attempt_at=until, last_error=error)


async def _settled(db: AsyncSession, mail: MailRow, **values: object) -> None:
    is_ours = (MailRow.id == mail.id, MailRow.attempts == mail.attempts, MailRow.finished_at.is_(None))
    await db.execute(update(MailRow).where(*is_ours).values(**values))
