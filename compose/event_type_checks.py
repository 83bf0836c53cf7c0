"""What the API would say of an own event type's schema: held to every released version here, and nothing is saved."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, cast

from api.errors import Conflict
from api.event_types.evolving import accepted_with, breaks_of, stem_of
from api.event_types.fitting import check_fits
from api.event_types.naming import check_first_word, check_not_built_in
from compose.asking import Api, Body
from compose.commands.options import path_of
from compose.refusals import Refused
from schemas.catalogue import EventTypeState
from schemas.errors import InvalidInput
from schemas.event_schemas import checked_schema
from schemas.evolution import with_retired
from schemas.json_values import Json
from schemas.type_files import Problem

_NOT_THERE = 404


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found. Without problems it would be `version`; it was held to those `released`, the newest first."""

    name: str
    version: int
    released: Sequence[int]
    problems: Sequence[Problem]
    advice: str | None = None


def checked(api: Api, name: str, schema: Json, example: Mapping[str, Any] | None) -> Checked:
    """Return what speaks against a schema as the next version of `name`, or as its first.

    `example` is the type's own unless given; of a new type none is looked at then. Raises ApiAway and Refused.
    """
    known = _known(api, name)
    is_released = known is not None and known["state"] != EventTypeState.DRAFT
    released = _released(api, name) if is_released else {}
    version = max(released, default=0) + 1
    numbers = sorted(released, reverse=True)
    try:
        new = checked_schema(schema)
        if released:
            breaks = breaks_of(name, new, released)
            if breaks is not None:
                problems = [Problem(each.field, each.reason) for each in breaks.changes]
                return Checked(name, version, numbers, problems, breaks.advice)
            oldest_first = [released[number] for number in sorted(released)]
            accepted_with(new, reduce(lambda earlier, later: with_retired(later, earlier), oldest_first))
        _check_beside(api, name, new, known, example)
    except InvalidInput as error:
        return Checked(name, version, numbers, [Problem(error.pointer, error.detail)])
    except Conflict as error:
        return Checked(name, version, numbers, [Problem("/name", str(error))])
    same = bool(released) and dict(new) == released[numbers[0]]
    return Checked(name, numbers[0] if same else version, numbers, [])


def _check_name(api: Api, name: str) -> None:
    check_not_built_in(name)
    stem = stem_of(name)
    if stem == name or _known(api, stem) is None:
        check_first_word(name)


def _check_beside(
    api: Api, name: str, schema: Mapping[str, Any], known: Body | None, example: Mapping[str, Any] | None
) -> None:
    if known is None:
        _check_name(api, name)
    given = example if example is not None or known is None else known["example"]
    if given is not None:
        check_fits(name, schema, example=given, ordering_key=None if known is None else known["ordering_key"])


def _known(api: Api, name: str) -> Body | None:
    """Return an organization's own type; None for what is not there, and for a built-in one, whose name is taken."""
    try:
        found = api.get(path_of("event-types", name))
    except Refused as refused:
        if refused.status == _NOT_THERE:
            return None
        raise
    return None if found["built_in"] else found


def _released(api: Api, name: str) -> dict[int, dict[str, Any]]:
    versions = api.get(path_of("event-types", name, "versions"))["data"]
    return {each["version"]: cast(dict[str, Any], each["schema"]) for each in versions}
