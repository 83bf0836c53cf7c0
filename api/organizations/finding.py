"""An organization by the id in a route's path, for whoever may know of it. No query here commits."""

from collections.abc import Sequence
from typing import Annotated, Final, cast

from fastapi import Depends, Request
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from api.credentials import Caller, CredentialKind
from api.database import RequestTransaction
from api.errors import NotFound
from api.members.tables import MembershipRow
from api.organizations.tables import OrganizationRow
from api.preconditions import etag_of, is_unchanged
from schemas.ids import is_organization_id

PATH: Final = "/api/v1/organizations"
_NOT_THERE: Final = "there is no organization of this id, or it is not yours"


async def _session(request: Request) -> AsyncSession:
    transaction = cast(RequestTransaction, request.state.transaction)
    if cast(Caller, request.state.caller).kind is CredentialKind.ADMINISTRATOR:
        return await transaction.system_session()
    return await transaction.session()


OrganizationDb = Annotated[AsyncSession, Depends(_session)]
"""Bound to the caller's organization; the administrator's, who may name any, to none."""


async def found(db: AsyncSession, caller: Caller, organization_id: str) -> OrganizationRow:
    """Return the organization; raises NotFound for any but the caller's own, unless the administrator asks."""
    return await _one(db, caller, organization_id, lock=False)


async def found_to_change(db: AsyncSession, caller: Caller, organization_id: str, request: Request) -> OrganizationRow:
    """Return the same, locked; raises NotFound, and PreconditionFailed when If-Match names another version."""
    row = await _one(db, caller, organization_id, lock=True)
    is_unchanged(request, etag_of(row.version))
    return row


async def locked_organization(db: AsyncSession, organization_id: str) -> OrganizationRow:
    """Return the organization, locked: who is its owner, and which roles it has, changes one after the other.

    The lock lets others go on that only refer to the organization. Raises NotFound.
    """
    wanted = select(OrganizationRow).where(OrganizationRow.id == organization_id).with_for_update(key_share=True)
    row = (await db.execute(wanted.execution_options(populate_existing=True))).scalar_one_or_none()
    if row is None:
        raise NotFound(_NOT_THERE)
    return row


async def organizations_for(db: AsyncSession, caller: Caller, *, after: str, limit: int) -> Sequence[OrganizationRow]:
    """Return up to `limit` organizations that a caller belongs to, those past id `after`, by their ids.

    The administrator: all; a user's session: those in which the user is a member; anybody else: the credential's own.
    """
    wanted = select(OrganizationRow).where(OrganizationRow.id > after).order_by(OrganizationRow.id).limit(limit)
    if caller.kind is CredentialKind.SESSION:
        of_user = select(MembershipRow.organization_id).where(MembershipRow.user_id == caller.user_id)
        wanted = wanted.where(OrganizationRow.id.in_(of_user))
    elif caller.kind is not CredentialKind.ADMINISTRATOR:
        wanted = wanted.where(OrganizationRow.id == caller.organization_id)
    return (await db.execute(wanted)).scalars().all()


async def _one(db: AsyncSession, caller: Caller, organization_id: str, *, lock: bool) -> OrganizationRow:
    is_own = organization_id == caller.organization_id
    may_know = is_own or caller.kind is CredentialKind.ADMINISTRATOR
    if not may_know or not is_organization_id(organization_id):
        raise NotFound(_NOT_THERE)
    if lock:
        return await locked_organization(db, organization_id)
    wanted = select(OrganizationRow).where(OrganizationRow.id == organization_id)
    row = (await db.execute(wanted)).scalar_one_or_none()
    if row is None:
        raise NotFound(_NOT_THERE)
    return row
