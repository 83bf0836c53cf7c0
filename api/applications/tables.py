"""The tables of applications, their secrets and who approved them. No query here commits."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from api.columns import BYTES, ID, MOMENT, TEXTS, of_organization
from api.database import Base


class ApplicationRow(Base):
    """An OAuth client (RFC 6749, 2); its id is the client id."""

    __tablename__ = "applications"
    __table_args__ = (Index("applications_of_organization", "organization_id", "id"),)

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    organization_id: Mapped[str] = of_organization()
    version: Mapped[int]
    name: Mapped[str] = mapped_column(Text)
    description: Mapped[str | None] = mapped_column(Text)
    logo_url: Mapped[str | None] = mapped_column(Text)
    homepage_url: Mapped[str | None] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(Text, comment="confidential or public")
    redirect_uris: Mapped[list[str]] = mapped_column(TEXTS, comment="compared character by character")
    scopes: Mapped[list[str]] = mapped_column(TEXTS, comment="what it may ask for")
    grants: Mapped[list[str]] = mapped_column(TEXTS)
    requires_pkce: Mapped[bool] = mapped_column(comment="false only for a confidential one, and audited")
    signing_algorithm: Mapped[str] = mapped_column(Text, comment="of its access tokens: EdDSA or RS256")
    enabled: Mapped[bool]
    created_by: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(MOMENT)
    updated_at: Mapped[datetime] = mapped_column(MOMENT)


class ApplicationSecretRow(Base):
    """A secret of a confidential application: several while one is rotated."""

    __tablename__ = "application_secrets"
    __table_args__ = (Index("application_secrets_of_application", "application_id"),)

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    organization_id: Mapped[str] = of_organization()
    application_id: Mapped[str] = mapped_column(ID, ForeignKey("applications.id", ondelete="CASCADE"))
    digest: Mapped[bytes] = mapped_column(BYTES, comment="SHA-256 of 32 random bytes in base64url, with hks_ before")
    created_at: Mapped[datetime] = mapped_column(MOMENT)
    expires_at: Mapped[datetime | None] = mapped_column(MOMENT, comment="null: the one that is current")


class ApprovalRow(Base):
    """That an organization lets its users use another one's application."""

    __tablename__ = "application_approvals"

    organization_id: Mapped[str] = of_organization(primary_key=True)
    application_id: Mapped[str] = mapped_column(ID, ForeignKey("applications.id", ondelete="CASCADE"), primary_key=True)
    approved_by: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(MOMENT)
