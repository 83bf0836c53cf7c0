"""The routes of the app, and what each declares."""

from typing import Any, Final

from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute

from api.app import create_app
from api.requests import JsonRoute
from tests.api.conftest import NO_DATABASE_URL, settings_of
from tests.api.running import NO_KAFKA

APP: Final = create_app(settings_of(NO_DATABASE_URL), NO_KAFKA)
ROUTES: Final[list[BaseRoute]] = [found.original_route for found in iter_route_contexts(APP.routes)]
DECLARED: Final = {str(route.operation_id): route for route in ROUTES if isinstance(route, JsonRoute)}
DOCUMENT: Final[dict[str, Any]] = APP.openapi()
# Open to anybody: for signing in, and links in e-mails. Each checks what it is given and counts by address.
OPEN: Final = frozenset(
    {"accept_invitation", "ask_for_password_reset", "confirm_password_reset", "create_session", "verify_user"}
)
