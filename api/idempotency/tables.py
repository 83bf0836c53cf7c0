"""Answers kept for `Idempotency-Key`."""

from datetime import datetime
from typing import Final

from sqlalchemy import DateTime, Index, LargeBinary, Text
from sqlalchemy.orm import Mapped, mapped_column

from api.database import Base

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
