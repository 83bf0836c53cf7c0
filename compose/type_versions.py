"""Versions of a built-in event type, by number or as a file, and what differs between two of them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from compose.described_fields import Described, described_fields
from schemas.catalogue import EventType, described, event_type_of
from schemas.checking import Schema
from schemas.errors import HooklineError, InvalidInput
from schemas.event_schemas import BUILT_IN_ATTRIBUTES, checked_schema
from schemas.releases import released_of


class NoSuchVersion(HooklineError):
    """What was asked for is no version of the event type, and no file."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What became of a field: `was` is None for a new one, `becomes` for one that is gone."""

    name: str
    was: str | None
    becomes: str | None


def event_type_in(name: str, version: int | None) -> EventType:
    """Return an event type as it is, or as a version of it was; raises UnknownEventType, NoSuchVersion."""
    today = event_type_of(name, pointer="")
    if version is None or version == today.version:
        return today
    return replace(described(name, _released(name, version)), state=today.state)


def schema_of(name: str, version: str | None) -> Mapping[str, Schema]:
    """Return the schema of a version, by its number, a file's, or today's.

    Raises UnknownEventType, NoSuchVersion, and InvalidInput for a file that holds no schema.
    """
    today = event_type_of(name, pointer="")
    if version is None:
        return today.schema
    if version.isdecimal():
        return _released(name, int(version))
    path = Path(version)
    if not path.is_file():
        raise NoSuchVersion(f"{version} is no file and no version of {name}: it has {_numbers(name)}")
    try:
        return checked_schema(json.loads(path.read_text(encoding="utf-8")), pointer="", more=BUILT_IN_ATTRIBUTES)
    except ValueError as error:
        raise InvalidInput(f"{path} is no JSON: {error}") from None


def differences(before: Mapping[str, Schema], after: Mapping[str, Schema]) -> Sequence[Difference]:
    """Return what is different between two schemas, in the order of their fields, the earlier one's first."""
    old = {each.name: _said(each) for each in described_fields(before)}
    new = {each.name: _said(each) for each in described_fields(after)}
    names = [*old, *(name for name in new if name not in old)]
    return [Difference(name, old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name)]


def _said(field: Described) -> str:
    optional = () if "required" in field.marks else ("optional",)
    return ", ".join([field.type, *optional, *field.marks])


def _released(name: str, version: int) -> Mapping[str, Schema]:
    found = released_of(name).get(version)
    if found is None:
        raise NoSuchVersion(f"no version {version} of {name} was released: it has {_numbers(name)}")
    return found


def _numbers(name: str) -> str:
    return ", ".join(map(str, released_of(name))) or "none yet"
