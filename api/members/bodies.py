"""The JSON of members and invitations: what comes in and what goes out."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from api.fields import holds
from api.members.tables import InvitationRow, MembershipRow
from api.organizations.bodies import Name
from api.requests import JsonBody
from api.users.addresses import check_email
from api.users.tables import UserRow

_INVITATION: Final[dict[str, Any]] = {
    "id": "inv_019a9f2a11127a3b8c4d5e6f708192a3",
    "email": "user@example.com",
    "role": "developer",
    "state": "pending",
    "invited_by": "usr_019a9f2a11127a3b8c4d5e6f708192a3",
    "created_at": "2026-11-21T09:30:00Z",
    "expires_at": "2026-11-28T09:30:00Z",
    "accepted_at": None,
    "withdrawn_at": None,
}

Role = Annotated[
    str, Field(min_length=1, max_length=100, description="`rol_…` or a built-in role's name.", examples=["developer"])
]
Email = Annotated[str, Field(min_length=3, max_length=254, examples=["user@example.com"]), holds(check_email)]
Token = Annotated[str, Field(min_length=1, max_length=500, description="`token` of the link in the e-mail.")]


class NewInvitation(JsonBody):
    """Whom to invite, and to what."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"email": "user@example.com", "role": "developer"}]})

    email: Email
    role: Role


class MemberPatch(JsonBody):
    """Another role for a member."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"role": "viewer"}]})

    role: Role


class Acceptance(JsonBody):
    """What accepts an invitation: a new user gives a name and a password, one with an account its password."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"token": "inv_….…", "name": "John Doe", "password": "a long and unusual sentence"}]
        }
    )

    token: Token
    name: Name | None = Field(default=None, description="What a new user is called.")
    password: SecretStr | None = Field(default=None, description="A new user's, or that of the account that is there.")


class AcceptanceByUser(JsonBody):
    """What accepts an invitation when whoever accepts it is signed in."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"token": "inv_….…"}]})

    token: Token


class MemberBody(BaseModel):
    """A user in an organization."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "user_id": "usr_019a9f2a11127a3b8c4d5e6f708192a3",
                    "name": "John Doe",
                    "email": "user@example.com",
                    "role": "developer",
                    "since": "2026-11-21T09:30:00Z",
                }
            ]
        }
    )

    user_id: str
    name: str
    email: str
    role: str = Field(description="`rol_…` or a built-in role's name.")
    since: datetime


class Joined(BaseModel):
    """Where an accepted invitation led."""

    organization_id: str
    user_id: str
    role: str


class InvitationState(StrEnum):
    """How an invitation stands; only a pending one can be accepted."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


class InvitationBody(BaseModel):
    """An invitation; its link is in the e-mail alone."""

    model_config = ConfigDict(json_schema_extra={"examples": [_INVITATION]})

    id: str
    email: str
    role: str
    state: InvitationState
    invited_by: str = Field(description="A user's id, a credential's, or `administrator`.")
    created_at: datetime
    expires_at: datetime
    accepted_at: datetime | None
    withdrawn_at: datetime | None


def member_body(member: MembershipRow, user: UserRow) -> MemberBody:
    """Return what a member is shown as."""
    return MemberBody(user_id=user.id, name=user.name, email=user.email, role=member.role_id, since=member.created_at)


def state_of(row: InvitationRow, *, now: datetime) -> InvitationState:
    """Return how an invitation stands."""
    if row.accepted_at is not None:
        return InvitationState.ACCEPTED
    if row.withdrawn_at is not None:
        return InvitationState.WITHDRAWN
    return InvitationState.PENDING if row.expires_at > now else InvitationState.EXPIRED


def invitation_body(row: InvitationRow, *, now: datetime) -> InvitationBody:
    """Return what an invitation is shown as."""
    return InvitationBody(
        id=row.id,
        email=row.email,
        role=row.role_id,
        state=state_of(row, now=now),
        invited_by=row.invited_by,
        created_at=row.created_at,
        expires_at=row.expires_at,
        accepted_at=row.accepted_at,
        withdrawn_at=row.withdrawn_at,
    )
