"""The tables of event types that organizations define. Every query takes the organization's id, none commits."""

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, cast

import orjson
from sqlalchemy import BigInteger, ForeignKeyConstraint, Text, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from api.columns import ID, MOMENT, of_organization
from api.database import Base
from producers.outbox import add_to_outbox
from producers.records import Outgoing
from schemas.codec import encode
from schemas.ids import OrganizationId
from schemas.records import EventTypeDefinition
from schemas.topics import EVENT_TYPES

NAME: Final = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*){1,4}")  # of an organization's own
CHANNEL: Final = "hookline_event_types"  # PostgreSQL's NOTIFY; the payload is the organization's id


class EventTypeRow(Base):
    """An event type of an organization's own, with its newest version."""

    __tablename__ = "event_types"

    organization_id: Mapped[str] = of_organization(primary_key=True)
    name: Mapped[str] = mapped_column(ID, primary_key=True)
    revision: Mapped[int] = mapped_column(BigInteger, comment="rises with every change; version only with its schema")
    version: Mapped[int]
    state: Mapped[str] = mapped_column(Text)
    category: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text)
    owner: Mapped[str] = mapped_column(Text)
    ordering_key: Mapped[str | None] = mapped_column(Text)
    schema: Mapped[str] = mapped_column(Text, comment="JSON, as it was given")
    accepts: Mapped[str] = mapped_column(Text, comment="JSON: the schema, with what earlier versions had")
    example: Mapped[str] = mapped_column(Text, comment="JSON")
    created_at: Mapped[datetime] = mapped_column(MOMENT)
    updated_at: Mapped[datetime] = mapped_column(MOMENT)


class EventTypeVersionRow(Base):
    """A version of an event type; each that was released stays as it is."""

    __tablename__ = "event_type_versions"
    __table_args__ = (
        ForeignKeyConstraint(
            ["organization_id", "name"], ["event_types.organization_id", "event_types.name"], ondelete="CASCADE"
        ),
    )

    organization_id: Mapped[str] = mapped_column(ID, primary_key=True)
    name: Mapped[str] = mapped_column(ID, primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    schema: Mapped[str] = mapped_column(Text, comment="JSON, as it was given")
    example: Mapped[str] = mapped_column(Text, comment="JSON")
    created_at: Mapped[datetime] = mapped_column(MOMENT)


def json_of(value: Mapping[str, object]) -> str:
    """Return a JSON object as the tables keep it."""
    return orjson.dumps(value).decode()


def object_of(text: str) -> dict[str, Any]:
    """Return the JSON object that the tables keep."""
    return cast(dict[str, Any], orjson.loads(text))


async def event_type_of(db: AsyncSession, organization_id: OrganizationId, name: str) -> EventTypeRow | None:
    """Return an organization's own event type; None when it has none of this name."""
    if not NAME.fullmatch(name):
        return None
    wanted = select(EventTypeRow).where(EventTypeRow.organization_id == organization_id, EventTypeRow.name == name)
    return (await db.execute(wanted)).scalar_one_or_none()


async def event_types_named(db: AsyncSession, names: Collection[tuple[OrganizationId, str]]) -> Sequence[EventTypeRow]:
    """Return those of these that their organizations defined."""
    wanted = [each for each in names if NAME.fullmatch(each[1])]
    if not wanted:
        return []
    rows = select(EventTypeRow).where(tuple_(EventTypeRow.organization_id, EventTypeRow.name).in_(wanted))
    return (await db.execute(rows)).scalars().all()


async def event_type_to_change(db: AsyncSession, organization_id: OrganizationId, name: str) -> EventTypeRow | None:
    """Return the same, locked until the transaction ends."""
    if not NAME.fullmatch(name):
        return None
    wanted = select(EventTypeRow).where(EventTypeRow.organization_id == organization_id, EventTypeRow.name == name)
    found = await db.execute(wanted.with_for_update().execution_options(populate_existing=True))
    return found.scalar_one_or_none()


async def event_types_of(db: AsyncSession, organization_id: OrganizationId) -> Sequence[EventTypeRow]:
    """Return all of an organization's own event types, by name; how many there may be is limited."""
    wanted = select(EventTypeRow).where(EventTypeRow.organization_id == organization_id).order_by(EventTypeRow.name)
    return (await db.execute(wanted)).scalars().all()


async def names_of(db: AsyncSession, organization_id: OrganizationId) -> Sequence[str]:
    """Return the names of an organization's own event types."""
    wanted = select(EventTypeRow.name).where(EventTypeRow.organization_id == organization_id)
    return (await db.execute(wanted)).scalars().all()


async def count_of(db: AsyncSession, organization_id: OrganizationId) -> int:
    """Return how many event types an organization has defined."""
    wanted = select(func.count()).where(EventTypeRow.organization_id == organization_id)
    return (await db.execute(wanted)).scalar_one()


async def versions_of(db: AsyncSession, organization_id: OrganizationId, name: str) -> Sequence[EventTypeVersionRow]:
    """Return every version of an organization's event type, the newest first."""
    if not NAME.fullmatch(name):
        return []
    wanted = (
        select(EventTypeVersionRow)
        .where(EventTypeVersionRow.organization_id == organization_id, EventTypeVersionRow.name == name)
        .order_by(EventTypeVersionRow.version.desc())
    )
    return (await db.execute(wanted)).scalars().all()


async def tell(db: AsyncSession, row: EventTypeRow) -> None:
    """Tell workers, publishers and API processes of a locked row as it is now, when the transaction commits."""
    await _publish(db, row, encode(definition_of(row)))


async def tell_of_deletion(db: AsyncSession, row: EventTypeRow) -> None:
    """Tell them that a locked row is no more."""
    await _publish(db, row, None)


async def _publish(db: AsyncSession, row: EventTypeRow, value: bytes | None) -> None:
    await add_to_outbox(db, Outgoing(EVENT_TYPES, f"{row.organization_id}/{row.name}".encode(), value, []))
    await db.execute(select(func.pg_notify(CHANNEL, row.organization_id)))


def definition_of(row: EventTypeRow) -> EventTypeDefinition:
    """Return what publishers and workers need to know of a row."""
    return EventTypeDefinition(
        organization_id=OrganizationId(row.organization_id),
        name=row.name,
        version=row.version,
        state=row.state,
        category=row.category,
        description=row.description,
        owner=row.owner,
        schema=row.accepts,
        example=row.example,
        updated_at=row.updated_at,
        ordering_key=row.ordering_key,
    )
