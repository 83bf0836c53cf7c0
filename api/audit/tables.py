"""The table of the audit log: rows are added and read, PostgreSQL refuses to change or delete them (migration 0006)."""

from datetime import datetime

from sqlalchemy import Index, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from api.columns import ID, MOMENT
from api.database import Base
from schemas.json_values import Json


class AuditRow(Base):
    """Who did what to what, from where."""

    __tablename__ = "audit_log"
    __table_args__ = (
        Index("audit_log_of_organization", "organization_id", "id"),
        Index("audit_log_by_actor", "organization_id", "actor_id", "id"),
        Index("audit_log_by_action", "organization_id", "action", "id"),
        Index("audit_log_by_target", "organization_id", "target_id", "id"),
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True, comment="ordered by time")
    # No foreign key: what was done stays, whatever became of the organization.
    organization_id: Mapped[str] = mapped_column(ID)
    at: Mapped[datetime] = mapped_column(MOMENT)
    actor_kind: Mapped[str] = mapped_column(Text, comment="administrator, api_token, access_token, session or nobody")
    actor_id: Mapped[str] = mapped_column(ID, comment="the user's, else the credential's")
    actor_name: Mapped[str] = mapped_column(Text)
    application_id: Mapped[str | None] = mapped_column(ID)
    action: Mapped[str] = mapped_column(Text, comment="the operation's id in OpenAPI, or auth.…")
    target_kind: Mapped[str | None] = mapped_column(Text)
    target_id: Mapped[str | None] = mapped_column(ID)
    changes: Mapped[dict[str, Json] | None] = mapped_column(JSONB, comment="what it was before, without secrets")
    address: Mapped[str] = mapped_column(Text)
    user_agent: Mapped[str] = mapped_column(Text)
    request_id: Mapped[str] = mapped_column(Text)
