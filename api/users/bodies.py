"""What comes in and goes out about users."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from api.fields import holds, without_default
from api.requests import JsonBody
from api.users.addresses import check_email
from api.users.tables import UserRow
from schemas.errors import InvalidInput


def _check_name(name: str) -> None:
    if not name.isprintable() or name != name.strip():
        raise InvalidInput("must have no control characters, and no spaces around it")


Email = Annotated[str, Field(min_length=3, max_length=254, examples=["user@example.com"]), holds(check_email)]
Name = Annotated[str, Field(min_length=1, max_length=200, examples=["Ada Lovelace"]), holds(_check_name)]
# What is good enough is said by `check_password`, with a reason; this bounds only what is read.
PasswordText = Annotated[str, Field(max_length=1024, json_schema_extra={"format": "password"})]
Password = Annotated[PasswordText, Field(repr=False)]


class UserState(StrEnum):
    """Whether a user can sign in, and what stands against it."""

    ACTIVE = "active"
    UNVERIFIED = "unverified"
    MUST_RESET = "must_reset"
    LOCKED = "locked"


class NewUser(JsonBody):
    """A user to make; its home is the organization of who makes it."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"email": "user@example.com", "name": "Ada Lovelace", "role": "developer"}]}
    )

    email: Email
    name: Name
    password: PasswordText | None = Field(
        default=None,
        repr=False,
        description="8 to 256 characters, none of the common ones. Without: `send-reset` lets them choose.",
    )
    role: Annotated[str, Field(min_length=1, max_length=100)] | None = Field(
        default=None, description="A built-in role's name or a `rol_…`: makes a member, which needs `members:create`."
    )
    must_reset: bool = Field(default=False, description="The password has to be replaced before the first sign-in.")
    verified: bool = Field(
        default=False, description="The address is known to be theirs. The administrator alone may say so."
    )


class UserPatch(JsonBody):
    """What to change (RFC 7396); what is left out stays."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Ada Lovelace"}, {"must_reset": True}]})

    email: Email = Field(
        default="", description="Another address is unverified; a link goes to it.", json_schema_extra=without_default
    )
    name: Name = Field(default="", json_schema_extra=without_default)
    must_reset: bool = Field(
        default=False,
        description="True: sessions and grants end, and the password has to be replaced by a link.",
        json_schema_extra=without_default,
    )


class Locking(JsonBody):
    """Why an account is locked."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "left the company"}, {}]})

    reason: Annotated[str, Field(min_length=1, max_length=200), holds(_check_name)] | None = Field(
        default=None, description="For the audit log, and for whoever unlocks it."
    )


class UserBody(BaseModel):
    """An account."""

    id: str = Field(examples=["usr_019ab4c1f3a07cc2b1d2e3f405162738"])
    organization_id: str = Field(description="Its home: the organization that manages it.")
    email: str
    name: str
    state: UserState
    has_password: bool
    must_reset: bool
    verified_at: datetime | None = Field(description="When the address was shown to be theirs; null: it was not yet.")
    locked_at: datetime | None
    locked_reason: str | None
    last_login_at: datetime | None
    created_at: datetime
    updated_at: datetime


def state_of(row: UserRow) -> UserState:
    """Return what stands against signing in, the strongest first."""
    if row.locked_at is not None:
        return UserState.LOCKED
    if row.must_reset:
        return UserState.MUST_RESET
    return UserState.UNVERIFIED if row.verified_at is None else UserState.ACTIVE


def shown(row: UserRow) -> UserBody:
    """Return a user as the API shows it."""
    return UserBody(
        id=row.id,
        organization_id=row.organization_id,
        email=row.email,
        name=row.name,
        state=state_of(row),
        has_password=row.password_hash is not None,
        must_reset=row.must_reset,
        verified_at=row.verified_at,
        locked_at=row.locked_at,
        locked_reason=row.locked_reason,
        last_login_at=row.last_login_at,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


class LinkUse(JsonBody):
    """A link that an e-mail brought."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"token": "lnk_….…"}]})

    token: Annotated[str, Field(min_length=1, max_length=300, repr=False, description="What the link has as `token`.")]


class ResetRequest(JsonBody):
    """Whose password is forgotten."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"email": "user@example.com"}]})

    email: Annotated[str, Field(min_length=1, max_length=254)]


class ResetConfirmation(LinkUse):
    """A new password, by a link."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"token": "lnk_….…", "password": "a long and unusual sentence"}]}
    )

    password: Password
