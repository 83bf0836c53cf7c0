"""Every version that a subscription's payload had: a replay sends as it was sent, or as it is sent today."""

from datetime import datetime
from typing import Final

from sqlalchemy import DateTime, Text, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from api.database import Base
from schemas.json_values import Json

_Id: Final = Text(collation="C")


class TransformationRow(Base):
    """What a subscription's payload was from `since` on, until its next version."""

    __tablename__ = "transformations"

    subscription_id: Mapped[str] = mapped_column(_Id, primary_key=True)
    version: Mapped[int] = mapped_column(
        primary_key=True, autoincrement=False, comment="from 1; 0 is the full body, for all"
    )
    organization_id: Mapped[str] = mapped_column(Text)
    payload: Mapped[dict[str, Json] | None] = mapped_column(JSONB(none_as_null=True))
    since: Mapped[datetime] = mapped_column(DateTime(timezone=True))


async def payloads_of(
    db: AsyncSession, organization_id: str, subscription_id: str, versions: set[int]
) -> dict[int, dict[str, Json] | None]:
    """Return what the payload of an organization's subscription was in those of `versions` that are kept."""
    if not versions:
        return {}
    wanted = select(TransformationRow.version, TransformationRow.payload).where(
        TransformationRow.subscription_id == subscription_id,
        TransformationRow.organization_id == organization_id,
        TransformationRow.version.in_(versions),
    )
    return {version: payload for version, payload in await db.execute(wanted)}  # noqa: C416 - rows, not pairs
