"""Making and changing organizations: every change is a version, and an event in the same transaction."""

from datetime import UTC, datetime
from typing import Final, cast

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from api.announcing import announce_identity
from api.credentials import Caller
from api.errors import Conflict
from api.organizations.bodies import NewOrganization, OrganizationPatch
from api.organizations.tables import OrganizationRow
from schemas.ids import new_organization_id
from schemas.json_values import Json

# What a change of a field is called, in the order in which events tell of them.
_EVENTS: Final = {
    "organization.updated": ("name", "limits"),
    "organization.settings_changed": ("settings",),
    "organization.branding_updated": ("display_name", "logo_url", "primary_color", "accent_color"),
}


async def create(db: AsyncSession, body: NewOrganization) -> OrganizationRow:
    """Make an organization; raises Conflict when there is one of this id."""
    now = datetime.now(UTC)
    row_id = body.id or new_organization_id()
    made = (
        insert(OrganizationRow)
        .values(id=row_id, version=1, name=body.name, settings={}, limits={}, created_at=now, updated_at=now)
        .on_conflict_do_nothing()
        .returning(OrganizationRow)
    )
    row = (await db.execute(made)).scalar_one_or_none()
    if row is None:
        raise Conflict("there is an organization of this id already")
    data: dict[str, Json] = {"id": row.id, "name": row.name}
    await announce_identity(db, "organization.created", organization_id=row.id, subject_id=row.id, data=data)
    return row


async def change(db: AsyncSession, caller: Caller, row: OrganizationRow, body: OrganizationPatch) -> dict[str, Json]:
    """Change what the body names of a locked row; return what was different before, by field."""
    wanted = {name: getattr(body, name) for name in body.model_fields_set}
    if "settings" in wanted:
        wanted["settings"] = body.settings.applied_to(row.settings)
    return await _store(db, caller, row, wanted)


async def change_limits(
    db: AsyncSession, caller: Caller, row: OrganizationRow, limits: dict[str, int]
) -> dict[str, Json]:
    """Replace the limits of a locked row; return what was different before, by field."""
    return await _store(db, caller, row, {"limits": limits})


async def _store(db: AsyncSession, caller: Caller, row: OrganizationRow, wanted: dict[str, object]) -> dict[str, Json]:
    before = {name: cast(Json, getattr(row, name)) for name, value in wanted.items() if getattr(row, name) != value}
    if not before:
        return {}
    for name in before:
        setattr(row, name, wanted[name])
    row.version += 1
    row.updated_at = datetime.now(UTC)
    await db.flush()
    for event, fields in _EVENTS.items():
        changed = [name for name in fields if name in before]
        if changed:
            await announce_identity(
                db,
                event,
                organization_id=row.id,
                subject_id=row.id,
                data=_data_of(event, row, changed, caller),
                previous={name: before[name] for name in changed},
            )
    return before


def _data_of(event: str, row: OrganizationRow, changed: list[str], caller: Caller) -> dict[str, Json]:
    data: dict[str, Json] = {"id": row.id, "changed": [*changed]}
    if event == "organization.updated":
        return {**data, "name": row.name}
    return {**data, "changed_by": caller.user_id or caller.id}
