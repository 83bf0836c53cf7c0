"""The tables of users and of the links that they were sent. No query here commits."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from api.columns import ID, MOMENT, of_organization
from api.database import Base


class UserRow(Base):
    """An account. Its home organization manages it; it may be a member of others too.

    `email_key` is the address as it is compared. `password_hash` is argon2, or of another scheme until it is verified
    once; null: none was set yet.
    """

    __tablename__ = "users"
    __table_args__ = (Index("users_of_organization", "organization_id", "id"),)

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    organization_id: Mapped[str] = of_organization()
    version: Mapped[int]
    email: Mapped[str] = mapped_column(Text)
    email_key: Mapped[str] = mapped_column(ID, unique=True)
    name: Mapped[str] = mapped_column(Text)
    password_hash: Mapped[str | None] = mapped_column(Text)
    must_reset: Mapped[bool] = mapped_column(comment="the password has to be changed before anything else")
    verified_at: Mapped[datetime | None] = mapped_column(MOMENT, comment="the e-mail address; null: unverified")
    locked_at: Mapped[datetime | None] = mapped_column(MOMENT)
    locked_reason: Mapped[str | None] = mapped_column(Text)
    last_login_at: Mapped[datetime | None] = mapped_column(MOMENT)
    created_at: Mapped[datetime] = mapped_column(MOMENT)
    updated_at: Mapped[datetime] = mapped_column(MOMENT)


class LinkRow(Base):
    """A link that a user was sent, to be used once. It is signed when it is sent: nothing here can be used."""

    __tablename__ = "user_links"
    __table_args__ = (Index("user_links_of_user", "user_id"), Index("user_links_expires_at", "expires_at"))

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    user_id: Mapped[str] = mapped_column(ID, ForeignKey("users.id", ondelete="CASCADE"))
    purpose: Mapped[str] = mapped_column(Text, comment="verification or reset")
    email: Mapped[str] = mapped_column(Text, comment="the address that it went to")
    created_at: Mapped[datetime] = mapped_column(MOMENT)
    expires_at: Mapped[datetime] = mapped_column(MOMENT)
    used_at: Mapped[datetime | None] = mapped_column(MOMENT)
