"""Answers kept for `Idempotency-Key`, and the claims of those that are under way. No query here commits."""

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, DateTime, Index, LargeBinary, Text, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from api.database import Base
from api.idempotency.keys import KeyedPost

KEPT_FOR: Final = timedelta(hours=24)  # then its key is free; the row goes with api/projection/days.py
# A claim without an answer that is this old was left by a process that was killed: no route takes longer. The longest
# is a test, 60 s and 5 s, after Kafka's 9 s.
ABANDONED_AFTER: Final = timedelta(seconds=90)
_Moment: Final = DateTime(timezone=True)


class IdempotencyRow(Base):
    """A POST that named a key. `answer` is sealed: it may hold a secret; null while the first one is under way."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index("idempotency_keys_created_at", "created_at"),)

    organization_id: Mapped[str] = mapped_column(Text, primary_key=True)
    key: Mapped[str] = mapped_column(Text, primary_key=True)
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary, comment="SHA-256 of method, path, query and body")
    status: Mapped[int | None]
    answer: Mapped[bytes | None] = mapped_column(LargeBinary, comment="sealed: headers and body")
    created_at: Mapped[datetime] = mapped_column(_Moment)


async def claimed_at(db: AsyncSession, post: KeyedPost) -> datetime | None:
    """Claim a key and return when, which names the claim; None when somebody has it.

    An answer older than a day is forgotten, a claim that a killed process left is taken over by the same request.
    """
    row = IdempotencyRow
    fresh = insert(row).values(
        organization_id=post.organization_id, key=post.key, fingerprint=post.fingerprint, created_at=func.now()
    )
    abandoned = (
        row.answer.is_(None)
        & (row.created_at < func.now() - ABANDONED_AFTER)
        & (row.fingerprint == fresh.excluded.fingerprint)
    )
    claim = fresh.on_conflict_do_update(
        index_elements=[row.organization_id, row.key],
        set_={"fingerprint": fresh.excluded.fingerprint, "created_at": func.now(), "status": None, "answer": None},
        where=abandoned | (row.created_at < func.now() - KEPT_FOR),
    ).returning(row.created_at)
    return (await db.execute(claim)).scalar_one_or_none()


async def kept_of(db: AsyncSession, post: KeyedPost) -> IdempotencyRow | None:
    """Return what is known of a key that is claimed; None when its claim was released meanwhile."""
    return (await db.execute(select(IdempotencyRow).where(_of(post)))).scalar_one_or_none()


async def keep(db: AsyncSession, post: KeyedPost, claimed: datetime, *, status: int, answer: bytes) -> bool:
    """Keep the answer to a claim; return False when it was taken over: another request answers now."""
    change = (
        update(IdempotencyRow)
        .where(_of(post), IdempotencyRow.created_at == claimed, IdempotencyRow.answer.is_(None))
        .values(status=status, answer=answer)
        .returning(IdempotencyRow.key)
    )
    return (await db.execute(change)).scalar_one_or_none() is not None


async def release(db: AsyncSession, post: KeyedPost, claimed: datetime) -> None:
    """Give a claim up: nothing came of it, and whoever comes next may try."""
    await db.execute(
        delete(IdempotencyRow).where(_of(post), IdempotencyRow.created_at == claimed, IdempotencyRow.answer.is_(None))
    )


def _of(post: KeyedPost) -> ColumnElement[bool]:
    return (IdempotencyRow.organization_id == post.organization_id) & (IdempotencyRow.key == post.key)
