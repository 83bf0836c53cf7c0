"""Records that nobody could read, bytes untouched."""

from datetime import datetime
from typing import Final

from sqlalchemy import BigInteger, DateTime, LargeBinary, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from api.database import Base

_Moment: Final = DateTime(timezone=True)


class QuarantineRow(Base):
    """One record of `hookline.quarantine`, or one that the projection itself could not read or write."""

    __tablename__ = "quarantine"

    id: Mapped[str] = mapped_column(Text(collation="C"), primary_key=True)
    at: Mapped[datetime] = mapped_column(_Moment)
    topic: Mapped[str] = mapped_column(Text, comment="where it came from, and where a retry puts it again")
    partition: Mapped[int]
    offset: Mapped[int] = mapped_column("offset", BigInteger)
    stage: Mapped[str] = mapped_column(Text, comment="route, deliver, move, index or projection")
    error_class: Mapped[str] = mapped_column(Text)
    error: Mapped[str] = mapped_column(Text)
    key: Mapped[bytes | None] = mapped_column(LargeBinary)
    value: Mapped[bytes | None] = mapped_column(LargeBinary)
    headers: Mapped[list[list[str]]] = mapped_column(JSONB, comment="[[name, base64 of the value], …]")
    retried_at: Mapped[datetime | None] = mapped_column(_Moment)
