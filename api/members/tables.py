"""The tables of members and invitations. No query here commits."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from api.columns import ID, MOMENT, of_organization
from api.database import Base


class MembershipRow(Base):
    """A user in an organization. `role_id` is a built-in role's name or a `rol_…`."""

    __tablename__ = "memberships"
    __table_args__ = (Index("memberships_of_user", "user_id"),)

    organization_id: Mapped[str] = of_organization(primary_key=True)
    user_id: Mapped[str] = mapped_column(ID, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    role_id: Mapped[str] = mapped_column(ID)
    created_at: Mapped[datetime] = mapped_column(MOMENT)
    updated_at: Mapped[datetime] = mapped_column(MOMENT)


class InvitationRow(Base):
    """An invitation by e-mail: its link is signed when it is sent, so nothing here can be used to accept it."""

    __tablename__ = "invitations"
    __table_args__ = (Index("invitations_of_organization", "organization_id", "id"),)

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    organization_id: Mapped[str] = of_organization()
    email: Mapped[str] = mapped_column(Text)
    role_id: Mapped[str] = mapped_column(ID)
    invited_by: Mapped[str] = mapped_column(Text, comment="the caller's id: a user, a token, the administrator")
    created_at: Mapped[datetime] = mapped_column(MOMENT)
    expires_at: Mapped[datetime] = mapped_column(MOMENT)
    accepted_at: Mapped[datetime | None] = mapped_column(MOMENT)
    withdrawn_at: Mapped[datetime | None] = mapped_column(MOMENT)
