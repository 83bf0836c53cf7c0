"""Opening a session for a user who is known, and its cookie in an answer (RFC 6265bis, 4.1)."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal, TypedDict

import uuid_utils
from fastapi import Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.callers import kept_user_agent
from api.credentials import DEVELOPMENT_SESSION_COOKIE, SESSION_COOKIE
from api.permissions import Permission
from api.services import Services
from api.sessions import cookies
from api.sessions.cookies import SessionCookies
from api.sessions.tables import SessionRow
from api.users.tables import UserRow

__all__ = ["SignedIn", "clear_session_cookie", "csrf_token_of", "open_session", "set_session_cookie"]

csrf_token_of = cookies.csrf_token_of


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session that was opened just now: `secret` is in its cookie and nowhere else."""

    user: UserRow
    session: SessionRow
    permissions: frozenset[Permission]
    secret: str = field(repr=False)

    @property
    def csrf_token(self) -> str:
        """The token that goes with what changes something."""
        return csrf_token_of(self.secret)


class _Attributes(TypedDict):
    key: str
    path: str
    secure: bool
    httponly: bool
    samesite: Literal["lax"]


async def open_session(
    db: AsyncSession,
    services: Services,
    user: UserRow,
    *,
    organization_id: str,
    permissions: frozenset[Permission],
    address: str,
    user_agent: str,
) -> SignedIn:
    """Return a fresh session of a user whose password was verified: what the browser brought is never adopted."""
    now, secret = datetime.now(UTC), cookies.new_secret()
    session = SessionRow(
        id=f"ses_{uuid_utils.uuid7().hex}",
        user_id=user.id,
        organization_id=organization_id,
        digest=cookies.digest_of(secret),
        address=address,
        user_agent=kept_user_agent(user_agent),
        created_at=now,
        last_seen_at=now,
        expires_at=now + timedelta(hours=services.settings.session_hours),
    )
    db.add(session)
    await db.flush()
    return SignedIn(user=user, session=session, permissions=permissions, secret=secret)


def set_session_cookie(response: Response, services: Services, signed_in: SignedIn) -> None:
    """Give the session's cookie to the browser."""
    value = SessionCookies(services.sealer).value_of(signed_in.secret)
    response.set_cookie(value=value, max_age=services.settings.session_hours * 3600, **_attributes(services))


def clear_session_cookie(response: Response, services: Services) -> None:
    """Let the browser forget its session's cookie."""
    response.set_cookie(value="", max_age=0, **_attributes(services))


def session_cookie_name(services: Services) -> str:
    """Return what the cookie is called here."""
    return DEVELOPMENT_SESSION_COOKIE if services.settings.development else SESSION_COOKIE


def _attributes(services: Services) -> _Attributes:
    return {
        "key": session_cookie_name(services),
        "path": "/",
        "secure": not services.settings.development,
        "httponly": True,
        "samesite": "lax",
    }
