"""`/api/v1/members/invitations` for those who invite, `/api/v1/invitations` for those who are invited."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response

from api.audit.recording import Actor, note, record
from api.callers import Anybody, AnyCaller, may
from api.credentials import Caller
from api.database import Db, SystemDb
from api.lists import Cursor, Limit, Page, id_after, page_of
from api.members import accepting, inviting
from api.members.bodies import (
    Acceptance,
    AcceptanceByUser,
    InvitationBody,
    InvitationState,
    Joined,
    NewInvitation,
    invitation_body,
)
from api.members.finding import INVITATIONS, invitation_to_change, invitations_of
from api.members.tables import MembershipRow
from api.organizations.finding import locked_organization
from api.organizations.settling import settled_organization
from api.permissions import Permission
from api.problems import documented
from api.requests import JsonRoute
from api.services import AllServices, Services

router = APIRouter(
    prefix=INVITATIONS, tags=["members"], route_class=JsonRoute, responses=documented(401, 403, 422, 503)
)
invited = APIRouter(
    prefix="/api/v1/invitations", tags=["members"], route_class=JsonRoute, responses=documented(403, 422, 503)
)

Reader = Annotated[Caller, may(Permission.MEMBERS_READ)]
Inviter = Annotated[Caller, may(Permission.MEMBERS_CREATE)]
Withdrawer = Annotated[Caller, may(Permission.MEMBERS_DELETE)]
State = Annotated[InvitationState | None, Query(description="Those that stand so.")]
_with_body: Final = documented(400, 409, 413, 415)


@router.post("", status_code=201, operation_id="invite_member", responses=_with_body)
async def invite_member(
    body: NewInvitation, caller: Inviter, db: Db, services: AllServices, response: Response
) -> InvitationBody:
    """Invite an e-mail address; it is sent a link that can be used once. Nobody gives more than they have."""
    await settled_organization(db, caller)
    organization = await locked_organization(db, caller.organization_id)
    row = await inviting.invite(db, caller, organization, body, lasts=_lasting(services))
    response.headers["Location"] = f"{INVITATIONS}/{row.id}"
    return invitation_body(row, now=datetime.now(UTC))


@router.get("", operation_id="list_invitations")
async def list_invitations(
    *, caller: Reader, db: Db, limit: Limit = 25, cursor: Cursor = None, state: State = None
) -> Page[InvitationBody]:
    """List the organization's invitations, oldest first."""
    now = datetime.now(UTC)
    rows = await invitations_of(
        db, caller.organization_id, state=state, after=id_after(cursor), limit=limit + 1, now=now
    )
    return page_of([invitation_body(row, now=now) for row in rows], limit=limit, ids=[row.id for row in rows])


@router.post("/{invitation_id}/resend", operation_id="resend_invitation", responses=documented(404, 409))
async def resend_invitation(
    invitation_id: str, caller: Inviter, db: Db, services: AllServices, request: Request
) -> InvitationBody:
    """Send an invitation again, an expired one too; it can be accepted for its full time from now on."""
    row = await invitation_to_change(db, caller.organization_id, invitation_id)
    note(request, changes={"expires_at": row.expires_at.isoformat()})
    organization = await locked_organization(db, caller.organization_id)
    await inviting.invite_again(db, caller, organization, row, lasts=_lasting(services))
    return invitation_body(row, now=datetime.now(UTC))


@router.delete(
    "/{invitation_id}",
    status_code=204,
    operation_id="withdraw_invitation",
    response_class=Response,
    responses=documented(404, 409),
)
async def withdraw_invitation(invitation_id: str, caller: Withdrawer, db: Db) -> None:
    """Withdraw an invitation: its link opens nothing any more."""
    await inviting.withdraw(db, caller, await invitation_to_change(db, caller.organization_id, invitation_id))


@invited.post("/accept", operation_id="accept_invitation", responses={**documented(404), **_with_body})
async def accept_invitation(
    body: Acceptance, visitor: Anybody, db: SystemDb, services: AllServices, request: Request
) -> Joined:
    """Accept an invitation by its link.

    Who has no account of the invited address yet chooses a name and a password; who has one gives its password, or
    signs in and accepts by `/api/v1/invitations/accept-as-user`.
    """
    member = await accepting.accepted_by_anybody(
        db, services, body, address=visitor.address, user_agent=request.headers.get("user-agent", "")
    )
    actor = Actor(organization_id=member.organization_id, kind="nobody", id=member.user_id, name="an invited user")
    await record(db, request, actor=actor, action="accept_invitation", target_kind="members", target_id=member.user_id)
    return _joined(services, member)


@invited.post(
    "/accept-as-user", operation_id="accept_invitation_as_user", responses={**documented(401, 404), **_with_body}
)
async def accept_invitation_as_user(
    body: AcceptanceByUser, caller: AnyCaller, db: SystemDb, services: AllServices, request: Request
) -> Joined:
    """Accept an invitation as the user who is signed in."""
    member = await accepting.accepted_by_caller(db, services, caller, body.token)
    note(request, target_id=member.user_id)
    if caller.organization_id != member.organization_id:  # whose own log tells of it elsewhere
        actor = Actor(organization_id=member.organization_id, kind=caller.kind, id=member.user_id, name=caller.name)
        await record(
            db, request, actor=actor, action="accept_invitation_as_user", target_kind="members", target_id=actor.id
        )
    return _joined(services, member)


def _joined(services: Services, member: MembershipRow) -> Joined:
    services.callers.forget()
    return Joined(organization_id=member.organization_id, user_id=member.user_id, role=member.role_id)


def _lasting(services: Services) -> timedelta:
    return timedelta(days=services.settings.invitation_days)
