"""Every route says in its types who may call it; what says nothing, and what is bound to no organization, is listed."""

from typing import Annotated, get_type_hints

import pytest
from fastapi import APIRouter
from starlette.routing import Route

from api.callers import AnyCaller, UndeclaredRoute, may
from api.credentials import Caller
from api.database import SystemDb
from api.permissions import OPERATORS, Permission
from api.requests import JsonRoute
from tests.api.declared import DECLARED, DOCUMENT, OPEN, ROUTES

# No JSON API of callers: they declare nothing, and do themselves what JsonRoute does where it is needed.
OTHERS = {
    "/.well-known/oauth-authorization-server", "/.well-known/oauth-authorization-server/{path:path}", "/asyncapi.yaml",
    "/healthz", "/invitation", "/metrics", "/oauth/authorize", "/oauth/consent", "/oauth/introspect",
    "/oauth/jwks.json", "/oauth/revoke", "/oauth/token", "/openapi.json", "/readyz", "/reset", "/reset/request",
    "/signin", "/signout", "/verification",
}  # fmt: skip
# For browsers: each checks its own form, and records what it changes.
PAGES = {
    "/invitation", "/oauth/assets/{name}", "/oauth/themes/{name}.css", "/reset", "/reset/request", "/signin",
    "/signout", "/verification",
}  # fmt: skip
# Bound to no organization, so that row-level security does not hold what they ask: read them with care.
SYSTEM = {
    # of the operator's
    "create_organization", "get_quarantined", "list_quarantine", "retry_quarantined",
    # a user's own affairs, in several organizations
    "accept_invitation_as_user", "change_me", "change_my_password", "get_current_session", "get_me",
    "list_consents", "list_organizations", "list_sessions", "revoke_consent", "revoke_session", "sign_out",
    "switch_organization",
    # nobody is known yet
    "accept_invitation", "confirm_password_reset", "create_session", "verify_user",
    # what another organization registered is approved here
    "approve_application", "list_application_approvals", "withdraw_application_approval",
    # a user's sessions and grants end in every organization
    "change_user", "delete_user", "lock_user",
}  # fmt: skip
# Whoever is known, without a permission: it concerns the caller alone.
OWN_AFFAIRS = {
    "accept_invitation_as_user", "change_me", "change_my_password", "get_current_session", "get_me",
    "list_consents", "list_organizations", "list_sessions", "revoke_consent", "revoke_session", "sign_out",
    "switch_organization",
}  # fmt: skip


def test_every_route_declares_who_may_call_it_or_is_listed() -> None:
    assert len(DECLARED) >= 80
    paths = {route.path for route in ROUTES if isinstance(route, Route) and not isinstance(route, JsonRoute)}
    assert paths - OTHERS - PAGES == set()
    assert not any(path.startswith("/api/") for path in paths)
    assert len(ROUTES) == len(DECLARED) + sum(not isinstance(route, JsonRoute) for route in ROUTES)


ASKS_WITH_A_BODY = {"dry_run_subscription", "dry_run_saved_subscription"}  # POST, and nothing is changed


def test_what_anybody_and_what_any_caller_may_is_listed() -> None:
    assert {name for name, route in DECLARED.items() if route.access.is_open} == OPEN
    known = {name for name, route in DECLARED.items() if not route.access.is_open and route.access.permission is None}
    assert known == OWN_AFFAIRS


def test_what_is_bound_to_no_organization_is_listed() -> None:
    hints = {name: get_type_hints(route.endpoint, include_extras=True) for name, route in DECLARED.items()}
    assert {name for name, found in hints.items() if SystemDb in found.values()} == SYSTEM


def test_what_changes_something_needs_more_than_to_read() -> None:
    for name, route in DECLARED.items():
        permission = route.access.permission
        if permission is not None and route.methods != {"GET"}:
            assert permission.endswith(":read") == (name in ASKS_WITH_A_BODY), name
        if permission is not None and route.methods == {"GET"}:
            assert permission.endswith((":read", ":approve")), name


def test_every_permission_is_needed_by_some_route() -> None:
    needed = {route.access.permission for route in DECLARED.values()}
    assert set(Permission) - needed == set()
    assert needed >= OPERATORS


def test_the_description_says_what_is_declared() -> None:
    for operations in DOCUMENT["paths"].values():
        for operation in operations.values():
            route = DECLARED.get(operation.get("operationId", ""))
            if route is not None:
                assert operation.get("x-hookline-permission") == route.access.permission
                assert ("security" in operation) != route.access.is_open


async def _says_nothing() -> None: ...


async def _says_it_twice(
    one: Annotated[Caller, may(Permission.EVENTS_READ)], other: Annotated[Caller, may(Permission.EVENTS_READ)]
) -> None: ...


async def _says_two_things(one: AnyCaller, other: Annotated[Caller, may(Permission.EVENTS_READ)]) -> None: ...


@pytest.mark.parametrize("endpoint", [_says_nothing, _says_it_twice, _says_two_things])
def test_a_route_without_one_declaration_is_refused_when_it_is_made(endpoint: object) -> None:
    router = APIRouter(route_class=JsonRoute)
    with pytest.raises(UndeclaredRoute, match="must say once who may call it"):
        router.add_api_route("/x", endpoint)  # type: ignore[arg-type] # a table of them
