"""Who may do what: the one table of permissions, the coarse scopes that sum them up, and the roles that are built in.

A route declares its permission in a type (`api/callers.py`); a token, an application and a role are given some of them.
docs/identity.md shows this table.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from schemas.errors import InvalidInput


class RateClass(StrEnum):
    """What a request counts as; each class has its limit (`api/limits/`)."""

    READING = "reading"
    MANAGING = "managing"
    TESTING = "testing"
    RETRYING = "retrying"
    PUBLISHING = "publishing"
    OAUTH = "oauth"  # by client and address: nobody is known yet
    SIGNING_IN = "signing_in"  # by address, and failures by account


class Permission(StrEnum):
    """One thing that may be allowed, `resource:action`. Its name is a scope of OAuth (RFC 6749, 3.3) too."""

    SUBSCRIPTIONS_READ = "subscriptions:read"
    SUBSCRIPTIONS_CREATE = "subscriptions:create"
    SUBSCRIPTIONS_UPDATE = "subscriptions:update"
    SUBSCRIPTIONS_DELETE = "subscriptions:delete"
    SUBSCRIPTIONS_TEST = "subscriptions:test"
    DELIVERIES_READ = "deliveries:read"
    DELIVERIES_RETRY = "deliveries:retry"
    REPLAYS_READ = "replays:read"
    REPLAYS_WRITE = "replays:write"
    EVENTS_READ = "events:read"
    EVENTS_PUBLISH = "events:publish"
    EVENT_TYPES_READ = "event_types:read"
    EVENT_TYPES_CREATE = "event_types:create"
    EVENT_TYPES_UPDATE = "event_types:update"
    EVENT_TYPES_DELETE = "event_types:delete"
    ORGANIZATION_READ = "organization:read"
    ORGANIZATION_UPDATE = "organization:update"
    MEMBERS_READ = "members:read"
    MEMBERS_CREATE = "members:create"
    MEMBERS_UPDATE = "members:update"
    MEMBERS_DELETE = "members:delete"
    ROLES_READ = "roles:read"
    ROLES_CREATE = "roles:create"
    ROLES_UPDATE = "roles:update"
    ROLES_DELETE = "roles:delete"
    USERS_READ = "users:read"
    USERS_CREATE = "users:create"
    USERS_UPDATE = "users:update"
    USERS_DELETE = "users:delete"
    TOKENS_READ = "tokens:read"
    TOKENS_CREATE = "tokens:create"
    TOKENS_UPDATE = "tokens:update"
    TOKENS_DELETE = "tokens:delete"
    CLIENTS_READ = "clients:read"
    CLIENTS_CREATE = "clients:create"
    CLIENTS_UPDATE = "clients:update"
    CLIENTS_DELETE = "clients:delete"
    CLIENTS_APPROVE = "clients:approve"
    AUDIT_READ = "audit:read"
    # The operator's: they concern all organizations, and no role, token or scope can hold them.
    ORGANIZATIONS_CREATE = "organizations:create"
    LIMITS_UPDATE = "limits:update"
    QUARANTINE_READ = "quarantine:read"
    QUARANTINE_RETRY = "quarantine:retry"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a permission allows, in words for the consent page, and what its requests count as."""

    words: str
    counts_as: RateClass


_MANAGING: Final = RateClass.MANAGING
_READING: Final = RateClass.READING
MEANINGS: Final[Mapping[Permission, Meaning]] = {
    Permission.SUBSCRIPTIONS_READ: Meaning("See webhook subscriptions and how they stand", _READING),
    Permission.SUBSCRIPTIONS_CREATE: Meaning("Create webhook subscriptions", _MANAGING),
    Permission.SUBSCRIPTIONS_UPDATE: Meaning(
        "Change, pause, enable and disable webhook subscriptions, and rotate their secrets", _MANAGING
    ),
    Permission.SUBSCRIPTIONS_DELETE: Meaning("Delete webhook subscriptions", _MANAGING),
    Permission.SUBSCRIPTIONS_TEST: Meaning("Send test events to webhook subscriptions", RateClass.TESTING),
    Permission.DELIVERIES_READ: Meaning("See deliveries, their attempts and their bodies", _READING),
    Permission.DELIVERIES_RETRY: Meaning("Send deliveries again", RateClass.RETRYING),
    Permission.REPLAYS_READ: Meaning("See replays and how far they are", _READING),
    Permission.REPLAYS_WRITE: Meaning("Start and cancel replays", _MANAGING),
    Permission.EVENTS_READ: Meaning("See published events", _READING),
    Permission.EVENTS_PUBLISH: Meaning("Publish events", RateClass.PUBLISHING),
    Permission.EVENT_TYPES_READ: Meaning("See the catalogue of event types", _READING),
    Permission.EVENT_TYPES_CREATE: Meaning("Define event types", _MANAGING),
    Permission.EVENT_TYPES_UPDATE: Meaning("Change, deprecate and archive event types", _MANAGING),
    Permission.EVENT_TYPES_DELETE: Meaning("Delete drafts of event types", _MANAGING),
    Permission.ORGANIZATION_READ: Meaning("See the organization's name and settings", _READING),
    Permission.ORGANIZATION_UPDATE: Meaning("Change the organization's settings and branding", _MANAGING),
    Permission.MEMBERS_READ: Meaning("See who is a member and who is invited", _READING),
    Permission.MEMBERS_CREATE: Meaning("Invite members", _MANAGING),
    Permission.MEMBERS_UPDATE: Meaning("Change what members may do", _MANAGING),
    Permission.MEMBERS_DELETE: Meaning("Remove members and withdraw invitations", _MANAGING),
    Permission.ROLES_READ: Meaning("See roles", _READING),
    Permission.ROLES_CREATE: Meaning("Create roles", _MANAGING),
    Permission.ROLES_UPDATE: Meaning("Change roles", _MANAGING),
    Permission.ROLES_DELETE: Meaning("Delete roles", _MANAGING),
    Permission.USERS_READ: Meaning("See users", _READING),
    Permission.USERS_CREATE: Meaning("Create users", _MANAGING),
    Permission.USERS_UPDATE: Meaning("Change, lock and unlock users", _MANAGING),
    Permission.USERS_DELETE: Meaning("Delete users", _MANAGING),
    Permission.TOKENS_READ: Meaning("See API tokens, never what they are", _READING),
    Permission.TOKENS_CREATE: Meaning("Create API tokens", _MANAGING),
    Permission.TOKENS_UPDATE: Meaning("Change API tokens", _MANAGING),
    Permission.TOKENS_DELETE: Meaning("Revoke API tokens", _MANAGING),
    Permission.CLIENTS_READ: Meaning("See applications", _READING),
    Permission.CLIENTS_CREATE: Meaning("Register applications", _MANAGING),
    Permission.CLIENTS_UPDATE: Meaning("Change applications and rotate their secrets", _MANAGING),
    Permission.CLIENTS_DELETE: Meaning("Delete applications", _MANAGING),
    Permission.CLIENTS_APPROVE: Meaning("Approve other organizations' applications", _MANAGING),
    Permission.AUDIT_READ: Meaning("Read the audit log", _READING),
    Permission.ORGANIZATIONS_CREATE: Meaning("Create organizations", _MANAGING),
    Permission.LIMITS_UPDATE: Meaning("Change an organization's rate limits", _MANAGING),
    Permission.QUARANTINE_READ: Meaning("See records that nobody can read", _READING),
    Permission.QUARANTINE_RETRY: Meaning("Put records of the quarantine back", RateClass.RETRYING),
}

OPERATORS: Final = frozenset(
    {
        Permission.ORGANIZATIONS_CREATE,
        Permission.LIMITS_UPDATE,
        Permission.QUARANTINE_READ,
        Permission.QUARANTINE_RETRY,
    }
)
EVERYTHING: Final = frozenset(Permission)
GRANTABLE: Final = EVERYTHING - OPERATORS

_READ: Final = frozenset(
    {
        Permission.SUBSCRIPTIONS_READ,
        Permission.DELIVERIES_READ,
        Permission.REPLAYS_READ,
        Permission.EVENTS_READ,
        Permission.EVENT_TYPES_READ,
        Permission.ORGANIZATION_READ,
    }
)
_WRITE: Final = frozenset(
    {
        Permission.SUBSCRIPTIONS_CREATE,
        Permission.SUBSCRIPTIONS_UPDATE,
        Permission.SUBSCRIPTIONS_DELETE,
        Permission.SUBSCRIPTIONS_TEST,
        Permission.DELIVERIES_RETRY,
        Permission.REPLAYS_WRITE,
        Permission.EVENTS_PUBLISH,
    }
)
COARSE: Final[Mapping[str, frozenset[Permission]]] = {"read": _READ, "write": _WRITE}
COARSE_WORDS: Final[Mapping[str, str]] = {
    "read": "See subscriptions, deliveries, replays and events",
    "write": "Manage subscriptions, publish events, send deliveries again and replay",
}

_OPERATOR: Final = _READ | {
    Permission.SUBSCRIPTIONS_TEST,
    Permission.DELIVERIES_RETRY,
    Permission.REPLAYS_WRITE,
    Permission.MEMBERS_READ,
    Permission.ROLES_READ,
}
_DEVELOPER: Final = (
    _OPERATOR
    | _WRITE
    | {permission for permission in GRANTABLE if permission.startswith(("tokens:", "event_types:"))}
    | {Permission.CLIENTS_READ, Permission.CLIENTS_CREATE, Permission.CLIENTS_UPDATE}
)
OWNER: Final = "owner"
# Admin and owner may do the same; only an owner makes or removes an owner (`api/members/`).
BUILT_IN_ROLES: Final[Mapping[str, frozenset[Permission]]] = {
    OWNER: GRANTABLE,
    "admin": GRANTABLE,
    "developer": _DEVELOPER,
    "operator": _OPERATOR,
    "viewer": _READ,
}


def scope_names() -> list[str]:
    """Return every scope that can be asked for, coarse ones first; `resource:*` is every permission of a resource."""
    resources = sorted({permission.partition(":")[0] for permission in GRANTABLE})
    return [*COARSE, *(f"{resource}:*" for resource in resources), *sorted(GRANTABLE)]


def permissions_of(scopes: Iterable[str], *, pointer: str = "/scopes") -> frozenset[Permission]:
    """Return the permissions that scopes sum up; raises InvalidInput, naming the first one that is none."""
    allowed: set[Permission] = set()
    for scope in scopes:
        found = COARSE.get(scope) or _of_name(scope)
        if not found:
            raise InvalidInput(f"{scope[:60]!r} is no scope; scopes are {', '.join(scope_names())}", pointer=pointer)
        allowed |= found
    return frozenset(allowed)


def kept_permissions(names: Iterable[str]) -> frozenset[Permission]:
    """Return the permissions that stored scopes sum up; what this release does not know (any more) allows nothing."""
    return frozenset().union(*(COARSE.get(name) or _of_name(name) for name in names))


def words_of(scope: str) -> list[str]:
    """Return what a scope allows, in words: one line for a coarse scope, one a permission for others."""
    if scope in COARSE_WORDS:
        return [COARSE_WORDS[scope]]
    return [MEANINGS[permission].words for permission in sorted(_of_name(scope), key=list(Permission).index)]


def _of_name(scope: str) -> frozenset[Permission]:
    resource, _, action = scope.partition(":")
    if action == "*":
        return frozenset(each for each in GRANTABLE if each.partition(":")[0] == resource)
    return frozenset(each for each in GRANTABLE if each.value == scope)
