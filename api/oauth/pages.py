"""`/oauth/authorize` and the consent page (RFC 6749, 4.1), as pages that work without scripts."""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Final
from urllib.parse import urlsplit

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.applications.approving import may_use
from api.audit.recording import Actor, record
from api.callers import Anybody
from api.credentials import Caller
from api.database import SystemDb
from api.errors import Conflict, Forbidden, NotFound
from api.oauth.authorizing import Asked, answer_url, authorization_request, client_id_in, query_in
from api.oauth.browsing import sign_in_page, signed_in
from api.oauth.codes import issue_code
from api.oauth.consenting import (
    approvers_of,
    consent_of,
    goes_on_unasked,
    grantable,
    keep_consent,
    lines_of,
    organizations_of,
    version_of,
)
from api.oauth.forms import FormPurpose, UnfitForm, fields_of, forms_of
from api.oauth.issuer import issuer_of
from api.oauth.page_routes import PageRoute
from api.oauth.rendering import page, redirect, web_url
from api.oauth.tables import ConsentRow
from api.oauth.theming import theme_name
from api.organizations.tables import OrganizationRow
from api.permissions import Permission, RateClass
from api.services import AllServices, Services
from schemas.ids import is_organization_id

router = APIRouter(tags=["pages"], include_in_schema=False, route_class=PageRoute)

_AUTHORIZE: Final = "/oauth/authorize"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """A person who is asked what an application may do in an organization of theirs."""

    asked: Asked
    caller: Caller
    user_id: str
    organization: OrganizationRow
    organizations: Sequence[OrganizationRow]
    consent: ConsentRow | None

    @property
    def granted(self) -> tuple[str, ...]:
        """The scopes that the person can grant."""
        return grantable(self.asked.scopes, self.caller.permissions)


@router.get(_AUTHORIZE)
async def authorize(request: Request, visitor: Anybody, db: SystemDb, services: AllServices) -> Response:
    """Answer an authorization request: an error, a page to sign in or to consent at, or a code."""
    asked = await _asked(request, db, services, visitor.address, query_in(request.scope["query_string"]))
    asking = await _asking(request, db, services, asked, organization_id=None)
    if isinstance(asking, Response):
        return asking
    if goes_on_unasked(asked, asking.consent, asking.granted, organizations=len(asking.organizations)):
        await _record(db, request, asking, action="authorize_application")
        return await _with_code(db, services, asking)
    return await _consent_page(db, services, asking)


@router.get("/oauth/consent")
async def choose_organization(
    request: Request,
    visitor: Anybody,
    db: SystemDb,
    services: AllServices,
    *,
    choice: Annotated[str, Query(max_length=20_000)] = "",
    organization: Annotated[str, Query(max_length=100)] = "",
) -> Response:
    """Show the consent page for another organization of the person's."""
    query = forms_of(services).read(FormPurpose.CHOICE, choice)["query"]
    if not is_organization_id(organization):
        raise NotFound("there is no such organization, or it is not yours")
    asked = await _asked(request, db, services, visitor.address, query)
    asking = await _asking(request, db, services, asked, organization_id=organization)
    return asking if isinstance(asking, Response) else await _consent_page(db, services, asking)


@router.post("/oauth/consent")
async def answer_consent(request: Request, visitor: Anybody, db: SystemDb, services: AllServices) -> Response:
    """Take the person's answer: a code, or access_denied, goes to the application.

    The form's signed value is the exact request, the organization, the session that it was shown to and what was
    allowed until then: it is good for no other, and for one answer.
    """
    fields = await fields_of(request, ("form", "decision"))
    form = forms_of(services).read(FormPurpose.CONSENT, fields["form"])
    if fields["decision"] not in {"allow", "deny"}:
        raise UnfitForm("choose to allow or to cancel")
    asked = await _asked(request, db, services, visitor.address, form["query"])
    asking = await _asking(request, db, services, asked, organization_id=form["organization"])
    if isinstance(asking, Response):
        return asking
    if asking.caller.id != form["session"]:
        raise Forbidden("this page was shown to another session: go back to the application and begin again")
    if fields["decision"] == "deny" or not asking.granted:
        await _record(db, request, asking, action="deny_consent")
        detail = "the user did not allow it" if asking.granted else "the user may not do any of this"
        return _answered(services, asked, {"error": "access_denied", "error_description": detail})
    if version_of(asking.consent) != form["seen"] or not await keep_consent(
        db,
        asked.application,
        organization_id=asking.organization.id,
        user_id=asking.user_id,
        scopes=asking.granted,
        seen=asking.consent,
    ):
        raise Conflict("this page was answered already: go back to the application and begin again")
    await _record(db, request, asking, action="grant_consent")
    return await _with_code(db, services, asking)


async def _asked(request: Request, db: AsyncSession, services: Services, address: str, query: str) -> Asked:
    """Return what is asked for, counted by client and address before anything is looked up; raises what is wrong."""
    request.state.rate_headers = await services.limits.take_open(RateClass.OAUTH, client_id_in(query), address)
    return await authorization_request(db, query)


async def _asking(
    request: Request, db: AsyncSession, services: Services, asked: Asked, *, organization_id: str | None
) -> Asking | Response:
    """Return who is asked about what; a page instead when nobody is signed in, or the application may not be used."""
    caller = await signed_in(request, db, services)
    user_id = None if caller is None else caller.user_id
    if caller is None or user_id is None:
        return sign_in_page(
            request, services, query=asked.query, goes_to=asked.redirect_uri, application=asked.application.name
        )
    organizations = await organizations_of(db, user_id)
    if not organizations:
        raise Forbidden("you are no member of an organization: there is nothing that an application could do for you")
    wanted = organization_id or caller.organization_id
    organization = next((each for each in organizations if each.id == wanted), None)
    if organization is None:
        raise NotFound("there is no such organization, or it is not yours")
    if caller.organization_id != organization.id:
        caller = await signed_in(request, db, services, organization_id=organization.id)
        if caller is None:
            raise NotFound("there is no such organization, or it is not yours")
    if not await may_use(db, asked.application, organization.id):
        return await _unapproved_page(
            db, services, asked, caller=caller, organization=organization, organizations=organizations
        )
    consent = await consent_of(
        db, organization_id=organization.id, user_id=user_id, application_id=asked.application.id
    )
    return Asking(
        asked=asked,
        caller=caller,
        user_id=user_id,
        organization=organization,
        organizations=organizations,
        consent=consent,
    )


async def _consent_page(db: AsyncSession, services: Services, asking: Asking) -> Response:
    asked, organization = asking.asked, asking.organization
    owner = await db.get(OrganizationRow, asked.application.organization_id)
    form = {
        "query": asked.query,
        "organization": organization.id,
        "session": asking.caller.id,
        "seen": version_of(asking.consent),
    }
    return page(
        "consent.html",
        goes_to=asked.redirect_uri,
        theme=theme_name(organization.primary_color, organization.accent_color),
        form=forms_of(services).sign(FormPurpose.CONSENT, form),
        choice=_choice(services, asked, asking.organizations),
        application=_shown(asked),
        owner=None if owner is None or owner.id == organization.id else owner.display_name or owner.name,
        organization=organization,
        organization_logo=web_url(organization.logo_url),
        organizations=asking.organizations,
        person=asking.caller.name,
        lines=lines_of(asked.scopes, asking.caller.permissions),
        can_grant=bool(asking.granted),
        was_asked=asking.consent is not None,
        destination=_destination(asked.redirect_uri),
    )


async def _unapproved_page(
    db: AsyncSession,
    services: Services,
    asked: Asked,
    *,
    caller: Caller,
    organization: OrganizationRow,
    organizations: Sequence[OrganizationRow],
) -> Response:
    return page(
        "unapproved.html",
        status=HTTPStatus.FORBIDDEN,
        choice=_choice(services, asked, organizations),
        application=_shown(asked),
        organization=organization,
        organizations=organizations,
        approvers=await approvers_of(db, organization.id),
        may_approve=Permission.CLIENTS_APPROVE in caller.permissions,
    )


def _choice(services: Services, asked: Asked, organizations: Sequence[OrganizationRow]) -> str | None:
    if len(organizations) < 2:
        return None
    return forms_of(services).sign(FormPurpose.CHOICE, {"query": asked.query})


def _shown(asked: Asked) -> dict[str, str | None]:
    row = asked.application
    return {
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "logo": web_url(row.logo_url),
        "homepage": web_url(row.homepage_url),
    }


def _destination(redirect_uri: str) -> str:
    """Return where the browser will be taken, for people: a host, or the program that has a scheme of its own."""
    parts = urlsplit(redirect_uri)
    return parts.netloc or f"{parts.scheme}:"


async def _with_code(db: AsyncSession, services: Services, asking: Asking) -> Response:
    asked = asking.asked
    code = await issue_code(
        db,
        application=asked.application,
        user_id=asking.user_id,
        organization_id=asking.organization.id,
        scopes=asking.granted,
        redirect_uri=asked.redirect_uri,
        redirect_uri_given=asked.redirect_uri_given,
        code_challenge=asked.code_challenge,
        lifetime_s=services.settings.code_lifetime_s,
    )
    return _answered(services, asked, {"code": code})


def _answered(services: Services, asked: Asked, values: dict[str, str]) -> Response:
    return redirect(
        answer_url(asked.redirect_uri, issuer=issuer_of(services.settings), state=asked.state, values=values)
    )


async def _record(db: AsyncSession, request: Request, asking: Asking, *, action: str) -> None:
    caller = asking.caller
    await record(
        db,
        request,
        actor=Actor(
            organization_id=asking.organization.id,
            kind=caller.kind,
            id=asking.user_id,
            name=caller.name,
            application_id=asking.asked.application.id,
        ),
        action=action,
        target_kind="consents",
        target_id=asking.asked.application.id,
        changes={"asked": list(asking.asked.scopes), "granted": list(asking.granted)},
    )
