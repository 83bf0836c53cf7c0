"""The table of e-mails to send. No query here commits."""

from datetime import datetime

from sqlalchemy import Index, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from api.columns import ID, MOMENT, of_organization
from api.database import Base
from schemas.json_values import Json


class MailRow(Base):
    """An e-mail: a template and what stands in it. Its link is signed when it is sent, so this row opens nothing."""

    __tablename__ = "mails"
    __table_args__ = (Index("mails_due", "next_attempt_at", postgresql_where=text("finished_at IS NULL")),)

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    organization_id: Mapped[str] = of_organization()
    recipient: Mapped[str] = mapped_column(Text)
    template: Mapped[str] = mapped_column(Text)
    parameters: Mapped[dict[str, Json]] = mapped_column(JSONB, comment="no secret")
    link_purpose: Mapped[str | None] = mapped_column(Text, comment="invitation, verification or reset")
    link_id: Mapped[str | None] = mapped_column(ID, comment="what the link stands for")
    state: Mapped[str] = mapped_column(Text, comment="queued, sent or failed")
    attempts: Mapped[int]
    next_attempt_at: Mapped[datetime] = mapped_column(MOMENT)
    last_error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(MOMENT)
    finished_at: Mapped[datetime | None] = mapped_column(MOMENT, comment="sent, or given up")
