"""The JSON of roles: what comes in and what goes out."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from api.fields import holds, without_default
from api.organizations.bodies import check_name
from api.permissions import BUILT_IN_ROLES, Permission, permissions_of
from api.requests import JsonBody
from api.roles.tables import RoleRow
from schemas.errors import InvalidInput

MOST_SCOPES: Final = 100
_EXAMPLE: Final[dict[str, Any]] = {
    "name": "Support",
    "description": "Looks after deliveries",
    "permissions": ["read", "deliveries:retry"],
}
_BUILT_IN_WORDS: Final = {
    "owner": "Everything; only an owner makes or removes an owner",
    "admin": "Everything but making and removing owners",
    "developer": "Subscriptions, events, deliveries, API tokens and applications",
    "operator": "Watches deliveries, sends them again, replays and tests",
    "viewer": "Sees subscriptions, deliveries, replays and events",
}


def _check_role_name(name: str) -> None:
    check_name(name)
    if name.casefold() in BUILT_IN_ROLES or name.casefold().startswith("rol_"):
        raise InvalidInput("is how another role is called: choose another name")


def _check_scopes(scopes: list[str]) -> None:
    for index, scope in enumerate(scopes):
        permissions_of([scope], pointer=f"/{index}")


Name = Annotated[
    str, Field(min_length=1, max_length=100, description="Unique, whatever its case."), holds(_check_role_name)
]
Description = Annotated[str, Field(max_length=1000)]
Scopes = Annotated[
    list[str],
    Field(
        min_length=1,
        max_length=MOST_SCOPES,
        description="Permissions, or scopes that sum some up (`read`, `tokens:*`); single permissions are kept.",
    ),
    holds(_check_scopes),
]


class NewRole(JsonBody):
    """What makes a role."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    name: Name
    description: Description | None = None
    permissions: Scopes


class RolePatch(JsonBody):
    """A merge patch (RFC 7396): what is left out stays, `permissions` are replaced.

    What was given is in `model_fields_set`; the values of the other fields mean nothing.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"permissions": ["read"]}]})

    name: Name = Field(default="", json_schema_extra=without_default)
    description: Description | None = Field(default=None, json_schema_extra=without_default)
    permissions: Scopes = Field(default=[], json_schema_extra=without_default)


class RoleBody(BaseModel):
    """A role as it is shown."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    **_EXAMPLE,
                    "id": "rol_019a9f2a11127a3b8c4d5e6f708192a3",
                    "permissions": ["deliveries:read", "deliveries:retry"],
                    "built_in": False,
                    "version": 1,
                    "created_at": "2026-11-21T09:30:00Z",
                    "updated_at": "2026-11-21T09:30:00Z",
                }
            ]
        }
    )

    id: str = Field(description="`rol_…`, or a built-in role's name.")
    name: str
    description: str | None
    permissions: list[str]
    built_in: bool = Field(description="It comes with Hookline and cannot be changed.")
    version: int = Field(description="Rises with every change; the ETag holds it too. 1 for a built-in role.")
    created_at: datetime | None = Field(description="null for a built-in role.")
    updated_at: datetime | None = Field(description="null for a built-in role.")


def body_of(row: RoleRow) -> RoleBody:
    """Return what a row is shown as."""
    return RoleBody(
        id=row.id,
        name=row.name,
        description=row.description,
        permissions=row.permissions,
        built_in=False,
        version=row.version,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def built_in(name: str) -> RoleBody:
    """Return what a built-in role is shown as."""
    return RoleBody(
        id=name,
        name=name,
        description=_BUILT_IN_WORDS[name],
        permissions=names_of(BUILT_IN_ROLES[name]),
        built_in=True,
        version=1,
        created_at=None,
        updated_at=None,
    )


def names_of(permissions: Iterable[Permission]) -> list[str]:
    """Return permissions as they are kept and shown, in the order of their names."""
    return sorted(permission.value for permission in permissions)
