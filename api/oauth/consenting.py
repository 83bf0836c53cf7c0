"""What a person lets an application do in an organization: shown in words, kept, and asked again only for more."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from api.announcing import announce_identity
from api.applications.tables import ApplicationRow
from api.members.tables import MembershipRow
from api.oauth.authorizing import Asked
from api.oauth.tables import ConsentRow
from api.organizations.tables import OrganizationRow
from api.permissions import (
    BUILT_IN_ROLES,
    COARSE,
    COARSE_WORDS,
    MEANINGS,
    Permission,
    kept_permissions,
    words_of,
)
from api.roles.tables import RoleRow
from api.users.tables import UserRow

_MOST_ORGANIZATIONS: Final = 100  # a person's, in a list to choose from
_MOST_APPROVERS: Final = 5


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that a scope allows, in words; `missing` names what of it the person cannot grant."""

    words: str
    is_granted: bool
    missing: tuple[str, ...] = ()


def lines_of(scopes: Iterable[str], held: frozenset[Permission]) -> list[Line]:
    """Return what scopes allow, each line once; a person grants nothing that it does not have."""
    lines: dict[str, Line] = {}
    for scope in scopes:
        for line in _lines_of_scope(scope, held):
            lines.setdefault(line.words, line)
    return list(lines.values())


def grantable(scopes: Iterable[str], held: frozenset[Permission]) -> tuple[str, ...]:
    """Return the scopes of which a person has anything: others are not granted, and asked for another time."""
    return tuple(scope for scope in scopes if kept_permissions([scope]) & held)


def goes_on_unasked(asked: Asked, consent: ConsentRow | None, granted: Sequence[str], *, organizations: int) -> bool:
    """Return whether there is nothing to ask: it was all allowed before, in the only organization that it can be.

    Whoever listens on a loopback port or takes a private-use scheme could be another program than the one that was
    allowed: such a public client is asked about each time (RFC 8252, 8.6; RFC 6749, 10.2).
    """
    is_known = asked.application.kind == "confidential" or asked.redirect_uri.startswith("https://")
    if consent is None or not granted or organizations != 1 or not is_known:
        return False
    return kept_permissions(granted) <= kept_permissions(consent.scopes)


def version_of(consent: ConsentRow | None) -> str:
    """Return what changes with each answer: a page that was answered once cannot be answered again."""
    return "" if consent is None else consent.updated_at.isoformat()


async def consent_of(db: AsyncSession, *, organization_id: str, user_id: str, application_id: str) -> ConsentRow | None:
    """Return what a user allowed an application in an organization, locked; None when it was never asked.

    Taking it back waits for the lock: nothing is issued between the reading and the revoking (`api/oauth/consents.py`).
    """
    wanted = select(ConsentRow).where(
        ConsentRow.organization_id == organization_id,
        ConsentRow.user_id == user_id,
        ConsentRow.application_id == application_id,
    )
    return (await db.execute(wanted.with_for_update())).scalar_one_or_none()


async def keep_consent(
    db: AsyncSession,
    application: ApplicationRow,
    *,
    organization_id: str,
    user_id: str,
    scopes: Sequence[str],
    seen: ConsentRow | None,
) -> bool:
    """Add `scopes` to what a user allowed; False when it is no longer as it was `seen`: somebody was quicker."""
    now = datetime.now(UTC)
    before = [] if seen is None else list(seen.scopes)
    kept = list(dict.fromkeys([*before, *scopes]))
    if seen is None:
        inserted = insert(ConsentRow).values(
            organization_id=organization_id,
            user_id=user_id,
            application_id=application.id,
            scopes=kept,
            created_at=now,
            updated_at=now,
        )
        written = inserted.on_conflict_do_nothing().returning(ConsentRow.user_id)
        done = (await db.execute(written)).scalar_one_or_none()
    else:
        changed = (
            update(ConsentRow)
            .where(
                ConsentRow.organization_id == organization_id,
                ConsentRow.user_id == user_id,
                ConsentRow.application_id == application.id,
                ConsentRow.updated_at == seen.updated_at,
            )
            .values(scopes=kept, updated_at=now)
            .returning(ConsentRow.user_id)
            .execution_options(synchronize_session=False)
        )
        done = (await db.execute(changed)).scalar_one_or_none()
    if done is None:
        return False
    await announce_identity(
        db,
        "consent.granted",
        organization_id=organization_id,
        subject_id=user_id,
        data={"user_id": user_id, "application_id": application.id, "scopes": list(kept)},
        previous={"scopes": list(before)} if seen is not None and before != kept else None,
    )
    return True


async def organizations_of(db: AsyncSession, user_id: str) -> Sequence[OrganizationRow]:
    """Return the organizations that a user is a member of, by name; the first 100."""
    wanted = (
        select(OrganizationRow)
        .join(MembershipRow, MembershipRow.organization_id == OrganizationRow.id)
        .where(MembershipRow.user_id == user_id)
        .order_by(OrganizationRow.name, OrganizationRow.id)
        .limit(_MOST_ORGANIZATIONS)
    )
    return (await db.execute(wanted)).scalars().all()


async def approvers_of(db: AsyncSession, organization_id: str) -> list[str]:
    """Return the names of members who may approve applications: five at most, those who are there longest."""
    roles = await db.execute(
        select(RoleRow.id, RoleRow.permissions).where(RoleRow.organization_id == organization_id).limit(1000)
    )
    able = [role_id for role_id, names in roles if Permission.CLIENTS_APPROVE in kept_permissions(names)]
    able += [name for name, permissions in BUILT_IN_ROLES.items() if Permission.CLIENTS_APPROVE in permissions]
    wanted = (
        select(UserRow.name)
        .join(MembershipRow, MembershipRow.user_id == UserRow.id)
        .where(
            MembershipRow.organization_id == organization_id,
            MembershipRow.role_id.in_(able),
            UserRow.locked_at.is_(None),
        )
        .order_by(MembershipRow.created_at, UserRow.id)
        .limit(_MOST_APPROVERS)
    )
    return list((await db.execute(wanted)).scalars())


def _lines_of_scope(scope: str, held: frozenset[Permission]) -> list[Line]:
    allowed = kept_permissions([scope])
    if scope in COARSE:
        missing = tuple(MEANINGS[each].words for each in sorted(allowed - held, key=list(Permission).index))
        return [Line(COARSE_WORDS[scope], bool(allowed & held), missing if allowed & held else ())]
    having = {MEANINGS[each].words for each in allowed & held}
    return [Line(words, words in having) for words in words_of(scope)]
