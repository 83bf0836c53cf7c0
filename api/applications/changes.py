"""What a body makes of an application: its row, what of it changed, and rules that take several fields."""

from datetime import UTC, datetime
from typing import Final

import uuid_utils

from api.applications.bodies import ApplicationBody, ApplicationPatch, NewApplication
from api.applications.tables import ApplicationRow
from api.callers import check_may_give
from api.credentials import Caller
from api.oauth.redirects import checked_redirect_uri
from api.permissions import permissions_of
from schemas.errors import InvalidInput
from schemas.json_values import Json

SHOWN: Final = tuple(name for name in ApplicationBody.model_fields if name != "client_id")
# Names and pictures are for people. What else changes decides who gets tokens: nobody changes that of an application
# that may do more than they may, else a new redirect URI or secret would give them the rest.
_FOR_PEOPLE: Final = frozenset({"name", "description", "logo_url", "homepage_url"})


def row_of(body: NewApplication, caller: Caller) -> ApplicationRow:
    """Return the row of a new application; raises InvalidInput and InvalidRequest."""
    now = datetime.now(UTC)
    row = ApplicationRow(
        **body.model_dump(),
        id=f"app_{uuid_utils.uuid7().hex}",
        organization_id=caller.organization_id,
        version=1,
        enabled=True,
        created_by=caller.user_id or caller.id,
        created_at=now,
        updated_at=now,
    )
    check(row, caller)
    return row


def apply(body: ApplicationPatch, row: ApplicationRow, caller: Caller) -> dict[str, Json]:
    """Change a row; return what it was before, by field, of what changed. Raises InvalidInput and InvalidRequest."""
    previous: dict[str, Json] = {}
    for name in body.model_fields_set:
        value, was = getattr(body, name), getattr(row, name)
        if value != was:
            previous[name] = was
            setattr(row, name, value)
    if previous.keys() - _FOR_PEOPLE:
        check(row, caller)
    if previous:
        next_version(row)
    return previous


def next_version(row: ApplicationRow) -> None:
    """Let a changed row be its next version."""
    row.version += 1
    row.updated_at = datetime.now(UTC)


def check(row: ApplicationRow, caller: Caller) -> None:
    """Raise InvalidInput when fields do not go together, InvalidRequest when the caller gives what it does not have."""
    check_may_give(caller, permissions_of(row.scopes), pointer="/scopes")
    is_public = row.kind == "public"
    for index, uri in enumerate(row.redirect_uris):
        try:
            checked_redirect_uri(uri, is_public=is_public)
        except InvalidInput as error:
            raise InvalidInput(error.detail, pointer=f"/redirect_uris/{index}") from None
    if is_public and "client_credentials" in row.grants:
        raise InvalidInput("a public application cannot keep a secret: no client_credentials", pointer="/grants")
    if "authorization_code" in row.grants and not row.redirect_uris:
        raise InvalidInput("authorization_code needs a redirect URI", pointer="/redirect_uris")
    if "refresh_token" in row.grants and "authorization_code" not in row.grants:
        raise InvalidInput("refresh_token goes with authorization_code (RFC 6749, 4.4.3)", pointer="/grants")
    if is_public and not row.requires_pkce:
        raise InvalidInput("a public application always needs PKCE (RFC 9700, 2.1.1)", pointer="/requires_pkce")


def shown(row: ApplicationRow) -> ApplicationBody:
    """Return an application as it is shown."""
    return ApplicationBody(client_id=row.id, **{name: getattr(row, name) for name in SHOWN})
