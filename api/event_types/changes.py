"""Making, changing and deleting an organization's event types.

Each change is told to whoever checks events by them, and is an event in the same transaction.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, cast

from sqlalchemy import delete as delete_from
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from api.credentials import Caller
from api.errors import Conflict, Flaw
from api.event_types import tables
from api.event_types.announcing import announce_changed, announce_defined, announce_deleted
from api.event_types.evolving import MOST_VERSIONS, accepted_with, breaks_of, next_major, stem_of
from api.event_types.fitting import check_fits
from api.event_types.naming import check_first_word, check_not_built_in
from api.event_types.tables import EventTypeRow, EventTypeVersionRow, json_of, object_of
from api.event_types.writing_bodies import EventTypePatch, NewEventType
from api.members.announcing import name_of
from schemas.catalogue import EventTypeState
from schemas.errors import InvalidInput
from schemas.event_schemas import checked_schema
from schemas.ids import OrganizationId
from schemas.json_values import Json, check_json

NEXT_STATES: Final[Mapping[EventTypeState, tuple[EventTypeState, ...]]] = {
    EventTypeState.DRAFT: (EventTypeState.ACTIVE,),
    EventTypeState.ACTIVE: (EventTypeState.DEPRECATED,),
    EventTypeState.DEPRECATED: (EventTypeState.ACTIVE, EventTypeState.ARCHIVED),
    EventTypeState.ARCHIVED: (EventTypeState.ACTIVE,),
}


async def create(db: AsyncSession, caller: Caller, body: NewEventType, *, most: int) -> EventTypeRow:
    """Make an event type in an organization whose row is locked; raises InvalidInput, and Conflict for a taken name."""
    organization_id = caller.organization_id
    await _check_name(db, organization_id, body.name)
    if body.state not in {EventTypeState.DRAFT, EventTypeState.ACTIVE}:
        raise InvalidInput("a new event type is a draft or active", pointer="/state")
    if await tables.count_of(db, organization_id) >= most:
        raise Conflict(f"this organization has defined {most} event types, which is as many as it may: delete a draft")
    now = datetime.now(UTC)
    schema = json_of(checked_schema(body.avro_schema))
    row = EventTypeRow(
        organization_id=organization_id,
        name=body.name,
        revision=1,
        version=1,
        state=body.state.value,
        category=body.category or body.name.partition(".")[0],
        description=body.description,
        owner=body.owner or organization_id,
        ordering_key=body.ordering_key,
        schema=schema,
        accepts=schema,
        example=json_of(_checked_example(body.example)),
        created_at=now,
        updated_at=now,
    )
    _check_whole(row)
    db.add(row)
    try:
        await db.flush()
    except IntegrityError as error:
        if "event_types_pkey" not in str(error.orig):
            raise
        raise Conflict(f"this organization has an event type {body.name} already: change that one") from None
    db.add(_version_of(row, now))
    await db.flush()
    await tables.tell(db, row)
    await announce_defined(db, row, by=name_of(caller))
    return row


async def change(db: AsyncSession, caller: Caller, row: EventTypeRow, body: EventTypePatch) -> dict[str, Json]:
    """Change what the body names of a locked row; return what was different before, by field.

    Another schema is the next version, and must read and be read by every one ever released; a draft's replaces it.
    Raises InvalidInput, and Conflict for a state that cannot follow and for a schema that breaks others.
    """
    was_draft = row.state == EventTypeState.DRAFT
    before: dict[str, Json] = {}
    for name in sorted(body.model_fields_set - {"avro_schema", "example", "state"}):
        _set(row, name, getattr(body, name), before)
    if "state" in body.model_fields_set and body.state != row.state:
        _check_next_state(EventTypeState(row.state), body.state)
        _set(row, "state", body.state.value, before)
    if "example" in body.model_fields_set:
        _set(row, "example", json_of(_checked_example(body.example)), before)
    is_new_schema = False
    if "avro_schema" in body.model_fields_set:
        schema = json_of(checked_schema(body.avro_schema))
        is_new_schema = schema != row.schema
        if is_new_schema:
            before["version"] = row.version
            await _evolve(db, row, schema, was_draft=was_draft)
    if not before:
        return {}
    _check_whole(row)
    row.revision += 1
    row.updated_at = datetime.now(UTC)
    if is_new_schema or ("example" in before and was_draft):
        if was_draft:
            await _forget_versions(db, row)
        db.add(_version_of(row, row.updated_at))
    await db.flush()
    await tables.tell(db, row)
    await announce_changed(db, row, before, by=name_of(caller))
    return before


async def delete(db: AsyncSession, caller: Caller, row: EventTypeRow) -> None:
    """Delete a locked draft; raises Conflict for any other: events of it may be on the log."""
    if row.state != EventTypeState.DRAFT:
        raise Conflict(
            "only a draft can be deleted, events of this one may be on the log: deprecate it, then archive it"
        )
    await db.delete(row)
    await db.flush()
    await tables.tell_of_deletion(db, row)
    await announce_deleted(db, row, by=name_of(caller))


async def _check_name(db: AsyncSession, organization_id: OrganizationId, name: str) -> None:
    check_not_built_in(name)
    stem = stem_of(name)
    if stem == name or await tables.event_type_of(db, organization_id, stem) is None:
        check_first_word(name)


def _check_next_state(state: EventTypeState, wanted: EventTypeState) -> None:
    allowed = NEXT_STATES[state]
    if wanted not in allowed:
        raise Conflict(f"from {state} it can become {' or '.join(allowed)}, not {wanted}")


def _checked_example(example: Mapping[str, Any]) -> Mapping[str, Any]:
    check_json(example, pointer="/example")
    return example


def _set(row: EventTypeRow, name: str, value: str | None, before: dict[str, Json]) -> None:
    known = cast(str | None, getattr(row, name))
    if known != value:
        before[name] = object_of(known) if name == "example" and known is not None else known
        setattr(row, name, value)


async def _evolve(db: AsyncSession, row: EventTypeRow, schema: str, *, was_draft: bool) -> None:
    new = object_of(schema)
    if was_draft:  # never released: nobody wrote or read by it
        row.schema = row.accepts = schema
        return
    versions = await tables.versions_of(db, OrganizationId(row.organization_id), row.name)
    breaks = breaks_of(row.name, new, {version.version: object_of(version.schema) for version in versions})
    if breaks is not None:
        raise Conflict(str(breaks), flaws=[Flaw(str(change), pointer="/schema") for change in breaks.changes])
    if len(versions) >= MOST_VERSIONS:
        advice = f"make {next_major(row.name)}"
        raise Conflict(f"it has {MOST_VERSIONS} versions, which is as many as there may be: {advice}")
    accepts = accepted_with(new, object_of(row.accepts))
    row.version += 1
    row.schema, row.accepts = schema, json_of(accepts)


def _check_whole(row: EventTypeRow) -> None:
    check_fits(row.name, object_of(row.schema), example=object_of(row.example), ordering_key=row.ordering_key)


def _version_of(row: EventTypeRow, now: datetime) -> EventTypeVersionRow:
    return EventTypeVersionRow(
        organization_id=row.organization_id,
        name=row.name,
        version=row.version,
        schema=row.schema,
        example=row.example,
        created_at=now,
    )


async def _forget_versions(db: AsyncSession, row: EventTypeRow) -> None:
    mine = EventTypeVersionRow.organization_id == row.organization_id, EventTypeVersionRow.name == row.name
    await db.execute(delete_from(EventTypeVersionRow).where(*mine).execution_options(synchronize_session=False))
