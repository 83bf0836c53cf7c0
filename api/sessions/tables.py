"""The table of browser sessions. No query here commits."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from api.columns import BYTES, ID, MOMENT, of_organization
from api.database import Base


class SessionRow(Base):
    """A browser that is signed in; of its cookie only the SHA-256 is kept."""

    __tablename__ = "sessions"
    __table_args__ = (Index("sessions_of_user", "user_id"), Index("sessions_expires_at", "expires_at"))

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    user_id: Mapped[str] = mapped_column(ID, ForeignKey("users.id", ondelete="CASCADE"))
    organization_id: Mapped[str] = of_organization()
    digest: Mapped[bytes] = mapped_column(BYTES, unique=True, comment="SHA-256 of the cookie's secret")
    address: Mapped[str] = mapped_column(Text)
    user_agent: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(MOMENT)
    last_seen_at: Mapped[datetime] = mapped_column(MOMENT, comment="written at most once a minute")
    expires_at: Mapped[datetime] = mapped_column(MOMENT)
    revoked_at: Mapped[datetime | None] = mapped_column(MOMENT)
