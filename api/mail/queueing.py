"""Putting an e-mail into the outbox of e-mails: it goes out when the caller's transaction commits."""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum

import uuid_utils
from sqlalchemy.ext.asyncio import AsyncSession

from api.mail.tables import MailRow
from api.signed_links import LinkPurpose
from schemas.json_values import Json


class Template(StrEnum):
    """The e-mails that there are; each is a file in `templates/`."""

    INVITATION = "invitation"
    VERIFICATION = "verification"
    RESET = "reset"
    SUBSCRIPTION_DISABLED = "subscription_disabled"


async def queue_mail(
    db: AsyncSession,
    template: Template,
    *,
    organization_id: str,
    recipient: str,
    parameters: Mapping[str, Json],
    link: tuple[LinkPurpose, str] | None = None,
) -> None:
    """Send an e-mail when the transaction commits. `parameters` hold no secret; `link` is signed when it is sent."""
    now = datetime.now(UTC)
    db.add(
        MailRow(
            id=f"mal_{uuid_utils.uuid7().hex}",
            organization_id=organization_id,
            recipient=recipient,
            template=template,
            parameters=dict(parameters),
            link_purpose=None if link is None else link[0],
            link_id=None if link is None else link[1],
            state="queued",
            attempts=0,
            next_attempt_at=now,
            created_at=now,
        )
    )
    await db.flush()
