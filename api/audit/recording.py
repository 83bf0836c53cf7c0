"""Writing the audit log: every request that changed something, and what else must be known later.

`api/requests.py` records each successful request that is not safe, in the transaction of its change, so no route can
forget to. A route adds what it was before (`note`); what is no request of a caller's (a failed sign-in, a consent) is
recorded where it happens.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import uuid_utils
from fastapi import Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.audit.tables import AuditRow
from api.callers import address_of, kept_user_agent
from api.credentials import Caller
from api.problems import request_id_of
from schemas.json_values import Json
from schemas.redaction import without_sensitive

_SAFE: Final = {"GET", "HEAD", "OPTIONS"}


@dataclass(frozen=True, slots=True)
class Note:
    """What a route adds to its own entry."""

    target_id: str | None = None
    changes: dict[str, Json] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who did it, for entries that no caller's request makes."""

    organization_id: str
    kind: str
    id: str
    name: str
    application_id: str | None = None


def note(request: Request, *, target_id: str | None = None, changes: dict[str, Json] | None = None) -> None:
    """Let the entry of this request say what it was done to, and what that was before; secrets are removed."""
    request.state.audit_note = Note(target_id, changes)


async def record_request(db: AsyncSession, request: Request, response: Response, *, action: str) -> None:
    """Add the entry of a request that a caller made and that succeeded."""
    caller: Caller = request.state.caller
    noted: Note = getattr(request.state, "audit_note", Note())
    kind, target_id = _target_of(request, response)
    await record(
        db,
        request,
        actor=Actor(
            organization_id=caller.organization_id,
            kind=caller.kind,
            id=caller.user_id or caller.id,
            name=caller.name,
            application_id=caller.application_id,
        ),
        action=action,
        target_kind=kind,
        target_id=noted.target_id or target_id,
        changes=noted.changes,
    )


async def record(
    db: AsyncSession,
    request: Request,
    *,
    actor: Actor,
    action: str,
    target_kind: str | None = None,
    target_id: str | None = None,
    changes: dict[str, Json] | None = None,
) -> None:
    """Add an entry in the caller's transaction."""
    await add_entry(
        db,
        actor=actor,
        action=action,
        target_kind=target_kind,
        target_id=target_id,
        changes=changes,
        address=address_of(request),
        user_agent=request.headers.get("user-agent", ""),
        request_id=request_id_of(request),
    )


async def add_entry(
    db: AsyncSession,
    *,
    actor: Actor,
    action: str,
    target_kind: str | None = None,
    target_id: str | None = None,
    changes: dict[str, Json] | None = None,
    address: str,
    user_agent: str,
    request_id: str,
) -> None:
    """Do the same for what has no request at hand; `user_agent` is as it came."""
    kept = None if changes is None else without_sensitive(changes)
    db.add(
        AuditRow(
            id=f"aud_{uuid_utils.uuid7().hex}",
            organization_id=actor.organization_id,
            at=datetime.now(UTC),
            actor_kind=actor.kind,
            actor_id=actor.id,
            actor_name=actor.name,
            application_id=actor.application_id,
            action=action,
            target_kind=target_kind,
            target_id=target_id,
            changes=kept if isinstance(kept, dict) else None,
            address=address,
            user_agent=kept_user_agent(user_agent),
            request_id=request_id,
        )
    )
    await db.flush()


def is_recorded(request: Request, response: Response) -> bool:
    """Return whether a request is one that changed something."""
    return request.method not in _SAFE and response.status_code < 400


def _target_of(request: Request, response: Response) -> tuple[str | None, str | None]:
    """Return what a request's path says it was done to: `/api/v1/<kind>/<id>/…`, or what Location says was made."""
    parts = str(request.scope["path"]).split("/")[3:]
    made = response.headers.get("location", "").rpartition("/")[2]
    named = next(iter(request.path_params.values()), None)
    return (parts[0] if parts else None), (str(named)[:200] if named else made or None)
