"""What an organization is told of its own event types: built-in events `event_type.*`, which Hookline alone publishes.

Schemas and examples are in none of them: they may have 64 KiB each, and `GET /event-types/{name}/versions` keeps those
that were released.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from api.announcing import announce
from api.event_types.tables import EventTypeRow
from schemas.catalogue import EventTypeState
from schemas.envelope import new_event
from schemas.json_values import Json

SOURCE: Final = "/hookline/event-types"
_WHO: Final = {"updated": "changed_by"}  # all others: as the verb is
_COME_TO: Final = {
    EventTypeState.ACTIVE: "reactivated",
    EventTypeState.DEPRECATED: "deprecated",
    EventTypeState.ARCHIVED: "archived",
}


@dataclass(frozen=True, slots=True)
class Said:
    """One event to be: `event_type.<verb>`, with what its data has besides, and what was before."""

    verb: str
    data: Mapping[str, Json]
    previous: Mapping[str, Json] | None = None


async def announce_defined(db: AsyncSession, row: EventTypeRow, *, by: str) -> None:
    """Tell that a type is there, and that its first version is released unless it is a draft."""
    await _announce(db, row, Said("defined", _words_of(row)), by=by)
    if row.state != EventTypeState.DRAFT:
        await _announce(db, row, Said("released", {}), by=by)


async def announce_changed(db: AsyncSession, row: EventTypeRow, before: Mapping[str, Json], *, by: str) -> None:
    """Tell what became of a type; `before` is what changes.py returns: what was different, by field."""
    for said in said_of(row, before):
        await _announce(db, row, said, by=by)


async def announce_deleted(db: AsyncSession, row: EventTypeRow, *, by: str) -> None:
    """Tell that a draft is no more."""
    await _announce(db, row, Said("deleted", {}), by=by)


def said_of(row: EventTypeRow, before: Mapping[str, Json]) -> Iterator[Said]:
    """Yield what a change is told as: one event for each thing that happened.

    `version` in `before` says that the schema is another one: of a draft, which was never released, its number stays.
    """
    was_draft = before.get("state", row.state) == EventTypeState.DRAFT
    words = {name: was for name, was in before.items() if name not in {"state", "version", "example"}}
    changed = {*words, *({"example"} & before.keys()), *(["schema"] if was_draft and "version" in before else [])}
    if changed:
        yield Said("updated", {**_words_of(row), "changed": [*sorted(changed)]}, words or None)
    if was_draft and "state" in before:
        yield Said("released", {}, {"state": before["state"]})
    if not was_draft and "version" in before:
        yield Said("released", {}, {"version": before["version"]})
    if not was_draft and "state" in before:
        yield Said(_COME_TO[EventTypeState(row.state)], {}, {"state": before["state"]})


def _words_of(row: EventTypeRow) -> dict[str, Json]:
    return {"description": row.description, "ordering_key": row.ordering_key}


async def _announce(db: AsyncSession, row: EventTypeRow, said: Said, *, by: str) -> None:
    data: dict[str, Json] = {
        "name": row.name,
        "version": row.version,
        "state": row.state,
        "category": row.category,
        "owner": row.owner,
        **said.data,
        _WHO.get(said.verb, f"{said.verb}_by"): by,
    }
    event = new_event(
        type=f"event_type.{said.verb}",
        organization_id=row.organization_id,
        data=data,
        previous=None if said.previous is None else {**said.previous},
        key=row.name,
    )
    await announce(db, event, source=SOURCE)
