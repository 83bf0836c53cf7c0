"""What comes in and goes out about sessions, and about oneself."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from api.fields import holds, without_default
from api.requests import JsonBody
from api.sessions.tables import SessionRow
from api.users.bodies import Name, Password, UserBody
from schemas.errors import InvalidInput
from schemas.ids import is_organization_id


def _check_organization(organization_id: str) -> None:
    if not is_organization_id(organization_id):
        raise InvalidInput("must be 1 to 100 letters, digits and . _ : -")


OrganizationName = Annotated[str, Field(max_length=100), holds(_check_organization)]


class SignIn(JsonBody):
    """Who signs in."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"email": "user@example.com", "password": "correct horse battery"}]}
    )

    email: Annotated[str, Field(min_length=1, max_length=254)]
    password: Password
    organization_id: OrganizationName | None = Field(
        default=None, description="The organization to act in; without: the user's home, else the first they are in."
    )


class Switch(JsonBody):
    """The organization to act in from now on."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"organization_id": "org_acme"}]})

    organization_id: OrganizationName


class SessionBody(BaseModel):
    """A browser that is signed in."""

    id: str = Field(examples=["ses_019ab4c1f3a07cc2b1d2e3f405162738"])
    organization_id: str = Field(description="The organization that it acts in.")
    address: str = Field(description="From where it was signed in.")
    user_agent: str
    created_at: datetime
    last_seen_at: datetime = Field(description="To the minute.")
    expires_at: datetime
    is_current: bool = Field(description="Whether it is the one that asks.")


class OrganizationOfSession(BaseModel):
    """The organization that a session acts in."""

    id: str
    name: str


class CurrentSession(BaseModel):
    """The session that asks."""

    session: SessionBody
    user: UserBody
    organization: OrganizationOfSession
    permissions: list[str]
    csrf_token: str = Field(description="Send it in X-CSRF-Token with whatever is not a GET.")


class Me(BaseModel):
    """Who calls, as the API knows it."""

    kind: str = Field(description="administrator, api_token, access_token or session")
    id: str = Field(description="The credential's id.")
    name: str
    organization_id: str
    permissions: list[str]
    expires_at: datetime | None
    application_id: str | None = Field(description="The OAuth client that the access token was given to.")
    user: UserBody | None = Field(description="Who stands behind a session, or a token that a user granted.")


class MyPatch(JsonBody):
    """What to change about oneself; what is left out stays."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Ada Lovelace"}]})

    name: Name = Field(default="", json_schema_extra=without_default)


class PasswordChange(JsonBody):
    """Another password."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"current": "correct horse battery", "new": "a long and unusual sentence"}]}
    )

    current: Password
    new: Password


def session_shown(row: SessionRow, *, current_id: str) -> SessionBody:
    """Return a session as the API shows it."""
    return SessionBody(
        id=row.id,
        organization_id=row.organization_id,
        address=row.address,
        user_agent=row.user_agent,
        created_at=row.created_at,
        last_seen_at=row.last_seen_at,
        expires_at=row.expires_at,
        is_current=row.id == current_id,
    )
