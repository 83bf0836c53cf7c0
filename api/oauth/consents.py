"""`/api/v1/consents`: what the caller's user let applications do, and taking it back."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field
from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from api.announcing import announce_identity
from api.applications.tables import ApplicationRow
from api.callers import AnyCaller
from api.credentials import Caller
from api.database import SystemDb
from api.errors import NotFound
from api.lists import Cursor, Limit, Page, id_after, page_of
from api.oauth.tables import ConsentRow, GrantRow
from api.problems import documented
from api.requests import JsonRoute
from api.services import AllServices

router = APIRouter(
    prefix="/api/v1/consents", tags=["consents"], route_class=JsonRoute, responses=documented(401, 403, 422, 503)
)

ApplicationId = Annotated[str, Path(min_length=1, max_length=100, description="The application's id.")]


class Consent(BaseModel):
    """What a user let an application do in an organization."""

    application_id: str
    application_name: str
    scopes: list[str] = Field(description="What it may ask for without asking the user again.")
    created_at: datetime
    updated_at: datetime = Field(description="When the user allowed something last.")


@router.get("", operation_id="list_consents")
async def list_consents(caller: AnyCaller, db: SystemDb, limit: Limit = 50, cursor: Cursor = None) -> Page[Consent]:
    """Return what the caller's user allowed in this organization, in the order of the applications' ids.

    Empty for credentials that no user stands behind. An access token sees what its own application was allowed.
    """
    found = await _consents_of(db, caller, after=id_after(cursor), limit=limit + 1)
    shown = [
        Consent(
            application_id=row.application_id,
            application_name=name,
            scopes=list(row.scopes),
            created_at=row.created_at,
            updated_at=row.updated_at,
        )
        for row, name in found
    ]
    return page_of(shown, limit=limit, ids=[each.application_id for each in shown])


@router.delete("/{application_id}", operation_id="revoke_consent", status_code=204, responses=documented(404))
async def revoke_consent(
    application_id: ApplicationId, caller: AnyCaller, db: SystemDb, services: AllServices
) -> Response:
    """Take back what the caller's user allowed an application in this organization.

    Everything that it was given is revoked with it: codes, refresh tokens and access tokens.
    """
    if caller.user_id is None or caller.application_id not in (None, application_id) or "\x00" in application_id:
        raise NotFound("the user has not allowed this application anything here")
    mine = (
        ConsentRow.organization_id == caller.organization_id,
        ConsentRow.user_id == caller.user_id,
        ConsentRow.application_id == application_id,
    )
    scopes = (await db.execute(delete(ConsentRow).where(*mine).returning(ConsentRow.scopes))).scalar_one_or_none()
    if scopes is None:
        raise NotFound("the user has not allowed this application anything here")
    await _revoke_grants(db, caller, application_id)
    await announce_identity(
        db,
        "consent.revoked",
        organization_id=caller.organization_id,
        subject_id=caller.user_id,
        data={"user_id": caller.user_id, "application_id": application_id, "scopes": []},
        previous={"scopes": list(scopes)},
    )
    services.callers.forget()
    return Response(status_code=204)


async def _consents_of(db: AsyncSession, caller: Caller, *, after: str, limit: int) -> Sequence[tuple[ConsentRow, str]]:
    """Return up to `limit` consents past an application's id, with the applications' names."""
    wanted = (
        select(ConsentRow, ApplicationRow.name)
        .join(ApplicationRow, ApplicationRow.id == ConsentRow.application_id)
        .where(
            ConsentRow.organization_id == caller.organization_id,
            ConsentRow.user_id == (caller.user_id or ""),
            ConsentRow.application_id > after,
        )
        .order_by(ConsentRow.application_id)
        .limit(limit)
    )
    if caller.application_id is not None:
        wanted = wanted.where(ConsentRow.application_id == caller.application_id)
    return [(row, name) for row, name in await db.execute(wanted)]


async def _revoke_grants(db: AsyncSession, caller: Caller, application_id: str) -> None:
    await db.execute(
        update(GrantRow)
        .where(
            GrantRow.organization_id == caller.organization_id,
            GrantRow.user_id == caller.user_id,
            GrantRow.application_id == application_id,
            GrantRow.revoked_at.is_(None),
        )
        .values(revoked_at=datetime.now(UTC), revoked_reason="consent_revoked")
        .execution_options(synchronize_session=False)
    )
