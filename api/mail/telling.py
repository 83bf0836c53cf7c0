"""Telling an organization's people by e-mail what became of its subscriptions, in the transaction that did it."""

from datetime import UTC, datetime
from typing import Final

import orjson
from sqlalchemy import cast, func, insert, literal, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from api.columns import ID, MOMENT
from api.mail.queueing import Template
from api.mail.tables import MailRow
from api.members.tables import MembershipRow
from api.permissions import OWNER
from api.users.tables import UserRow
from schemas.records import Event

_TOLD: Final = (OWNER, "admin")


async def tell_of_disabling(db: AsyncSession, event: Event) -> None:
    """Write to each owner and admin what a `subscription.disabled` says; one query, whether there is anybody or not.

    Who is locked out is told nothing.
    """
    now = datetime.now(UTC)
    mail = select(
        func.concat("mal_", func.replace(func.gen_random_uuid().cast(ID), "-", "")),
        MembershipRow.organization_id,
        UserRow.email,
        literal(Template.SUBSCRIPTION_DISABLED.value),
        cast(literal(orjson.loads(event.data), JSONB), JSONB),
        literal("queued"),
        literal(0),
        literal(now, MOMENT),
        literal(now, MOMENT),
    ).where(
        MembershipRow.organization_id == event.organization_id,
        MembershipRow.role_id.in_(_TOLD),
        UserRow.id == MembershipRow.user_id,
        UserRow.locked_at.is_(None),
    )
    columns = (
        MailRow.id,
        MailRow.organization_id,
        MailRow.recipient,
        MailRow.template,
        MailRow.parameters,
        MailRow.state,
        MailRow.attempts,
        MailRow.next_attempt_at,
        MailRow.created_at,
    )
    await db.execute(insert(MailRow).from_select(columns, mail, include_defaults=False))
