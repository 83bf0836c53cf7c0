"""The tables of the authorization server: what users agreed to, what was issued, and with which keys it is signed.

Codes and tokens are kept as SHA-256 only, private keys sealed. No query here commits.
"""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from api.columns import BYTES, ID, MOMENT, TEXTS, of_organization
from api.database import Base


class ConsentRow(Base):
    """What a user let an application do in an organization: it is not asked again for that."""

    __tablename__ = "oauth_consents"

    organization_id: Mapped[str] = of_organization(primary_key=True)
    user_id: Mapped[str] = mapped_column(ID, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    application_id: Mapped[str] = mapped_column(ID, ForeignKey("applications.id", ondelete="CASCADE"), primary_key=True)
    scopes: Mapped[list[str]] = mapped_column(TEXTS)
    created_at: Mapped[datetime] = mapped_column(MOMENT)
    updated_at: Mapped[datetime] = mapped_column(MOMENT)


class GrantRow(Base):
    """One authorization and all that comes of it: its code, its refresh tokens, its access tokens. Revoked together."""

    __tablename__ = "oauth_grants"
    __table_args__ = (
        Index("oauth_grants_of_user", "user_id", "application_id"),
        Index("oauth_grants_expires_at", "expires_at"),
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    organization_id: Mapped[str] = of_organization()
    application_id: Mapped[str] = mapped_column(ID, ForeignKey("applications.id", ondelete="CASCADE"))
    user_id: Mapped[str] = mapped_column(ID, ForeignKey("users.id", ondelete="CASCADE"))
    scopes: Mapped[list[str]] = mapped_column(TEXTS)
    created_at: Mapped[datetime] = mapped_column(MOMENT)
    expires_at: Mapped[datetime] = mapped_column(MOMENT, comment="of the last that came of it")
    revoked_at: Mapped[datetime | None] = mapped_column(MOMENT)
    revoked_reason: Mapped[str | None] = mapped_column(Text)


class CodeRow(Base):
    """An authorization code (RFC 6749, 4.1.2)."""

    __tablename__ = "oauth_codes"
    __table_args__ = (Index("oauth_codes_expires_at", "expires_at"),)

    digest: Mapped[bytes] = mapped_column(BYTES, primary_key=True)
    grant_id: Mapped[str] = mapped_column(ID, ForeignKey("oauth_grants.id", ondelete="CASCADE"))
    redirect_uri: Mapped[str] = mapped_column(Text)
    redirect_uri_given: Mapped[bool] = mapped_column(comment="then the token request repeats it (RFC 6749, 4.1.3)")
    code_challenge: Mapped[str | None] = mapped_column(Text, comment="S256; null: PKCE was waived for the client")
    expires_at: Mapped[datetime] = mapped_column(MOMENT)
    used_at: Mapped[datetime | None] = mapped_column(MOMENT)


class RefreshTokenRow(Base):
    """A refresh token (RFC 6749, 6): good for one use, which gives the next one."""

    __tablename__ = "oauth_refresh_tokens"
    __table_args__ = (
        Index("oauth_refresh_tokens_of_grant", "grant_id"),
        Index("oauth_refresh_tokens_expires_at", "expires_at"),
    )

    digest: Mapped[bytes] = mapped_column(BYTES, primary_key=True)
    grant_id: Mapped[str] = mapped_column(ID, ForeignKey("oauth_grants.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(MOMENT)
    expires_at: Mapped[datetime] = mapped_column(MOMENT)
    used_at: Mapped[datetime | None] = mapped_column(MOMENT)
    followed_by: Mapped[bytes | None] = mapped_column(BYTES, comment="the digest of the one that its use gave")


class RevokedTokenRow(Base):
    """An access token that was revoked alone; forgotten when it would have expired."""

    __tablename__ = "oauth_revoked_tokens"
    __table_args__ = (Index("oauth_revoked_tokens_expires_at", "expires_at"),)

    id: Mapped[str] = mapped_column(ID, primary_key=True, comment="its jti")
    expires_at: Mapped[datetime] = mapped_column(MOMENT)


class SigningKeyRow(Base):
    """A key that signs access tokens, for a while; it is published before that and until its last token has expired."""

    __tablename__ = "oauth_signing_keys"

    id: Mapped[str] = mapped_column(ID, primary_key=True, comment="its kid: the JWK's thumbprint (RFC 7638)")
    algorithm: Mapped[str] = mapped_column(Text, comment="EdDSA or RS256")
    private_key: Mapped[bytes] = mapped_column(BYTES, comment="sealed: the private JWK as JSON")
    public_key: Mapped[dict[str, str]] = mapped_column(JSONB, comment="the public JWK")
    created_at: Mapped[datetime] = mapped_column(MOMENT)
    signs_from: Mapped[datetime] = mapped_column(MOMENT)
    signs_until: Mapped[datetime] = mapped_column(MOMENT)
    expires_at: Mapped[datetime] = mapped_column(MOMENT, comment="after it nothing that it signed is valid")
