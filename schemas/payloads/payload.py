"""How a subscription wants its bodies, and the bytes that it gets.

A payload is a JSON object: `shape`; `include` and `exclude`, paths of fields (paths.py); `mask`, marks of fields whose
values become `***`. None is the full body. It says nothing of where a webhook goes or how: never the URL or the method.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final, cast

import orjson

from schemas.errors import InvalidInput
from schemas.json_values import Json, escaped
from schemas.payloads.paths import Path, Tree, only, path_of, tree_of, without
from schemas.payloads.source import JsonObject, PayloadSource, with_masked

MOST_PATHS: Final = 100
PERSONAL: Final = "personal"
EVENTS_PATH: Final = "/api/v1/events"  # of the API; workers know no address of it
_REMEMBERED: Final = 4096
_SETTINGS: Final = ("shape", "include", "exclude", "mask")
_EMPTY: Final[Mapping[str, Json]] = {"data": {}, "previous": None, "metadata": {}}  # where nothing is chosen


class Shape(StrEnum):
    """The envelope of a body.

    `full` is Hookline's own; `thin` has no data but a link to it; `delivery` has the delivery's id and `event`, as
    AuthOS sent it; `timestamp` is `event`, `timestamp`, `data`, `organization_id`, as Optio sent it.
    """

    FULL = "full"
    THIN = "thin"
    DELIVERY = "delivery"
    TIMESTAMP = "timestamp"


@dataclass(frozen=True, slots=True)
class Payload:
    """How bodies look, compiled. `include` and `exclude` are None when nothing was named."""

    shape: Shape = Shape.FULL
    include: Tree | None = None
    exclude: Tree | None = None
    masks_personal: bool = False

    def body(self, source: PayloadSource, *, delivery_id: str) -> bytes:
        """Return the exact bytes that a subscriber receives, the same whenever they are made of the same event.

        Raises InvalidInput when the event's data, previous or metadata is no JSON object.
        """
        if self == FULL:
            return source.full
        fields = source.fields if self._is_whole else source.made(self, lambda: self._chosen(source))
        made = _SHAPES[self.shape](fields, delivery_id)
        return orjson.dumps(made, option=orjson.OPT_UTC_Z)

    @property
    def _is_whole(self) -> bool:
        return self.include is None and self.exclude is None and not self.masks_personal

    def _chosen(self, source: PayloadSource) -> JsonObject:
        fields = source.fields
        if self.include is not None or self.exclude is not None:
            fields = {**fields, **{name: self._of_root(name, fields.get(name)) for name in _EMPTY}}
        if self.masks_personal and source.personal is not None:
            fields = with_masked(fields, source.personal)
        return fields

    def _of_root(self, name: str, value: Json) -> Json:
        if self.include is not None:
            wanted = self.include.get(name)
            value = _EMPTY[name] if wanted is None else only(value, wanted)
        unwanted = None if self.exclude is None else self.exclude.get(name)
        if unwanted is None:
            return value
        return without(value, unwanted) if unwanted else _EMPTY[name]


FULL: Final = Payload()


def payload_of(text: str | None) -> Payload:
    """Return the payload that a JSON text says, remembered; None is the full body. Raises InvalidInput."""
    return FULL if text is None else _payload_of(text)


def checked_payload(value: Json, *, pointer: str = "/payload") -> str:
    """Return a payload as JSON text, its settings in one order and without those that are null.

    Raises InvalidInput, with a pointer to what does not hold.
    """
    if not isinstance(value, dict):
        raise InvalidInput("must be an object, or null for the full body", pointer=pointer)
    for name in value:
        if name not in _SETTINGS:
            known = ", ".join(_SETTINGS)
            raise InvalidInput(f"is no setting of a payload; they are {known}", pointer=f"{pointer}/{escaped(name)}")
    given = {name: value[name] for name in _SETTINGS if value.get(name) is not None}
    shape = _shape_of(given.setdefault("shape", Shape.FULL.value), f"{pointer}/shape")
    for name in ("include", "exclude"):
        if name in given:
            _check_paths(given[name], f"{pointer}/{name}")
    if "mask" in given:
        _check_mask(given["mask"], f"{pointer}/mask")
    if shape is Shape.THIN and len(given) > 1:
        name = next(name for name in given if name != "shape")
        raise InvalidInput("a thin body has no data: leave this out", pointer=f"{pointer}/{name}")
    return orjson.dumps({name: given[name] for name in _SETTINGS if name in given}).decode()


@lru_cache(_REMEMBERED)
def _payload_of(text: str) -> Payload:
    value = orjson.loads(checked_payload(_json_of(text), pointer=""))
    return Payload(
        shape=Shape(value["shape"]),
        include=_tree_of(value.get("include")),
        exclude=_tree_of(value.get("exclude")),
        masks_personal=PERSONAL in value.get("mask", []),
    )


def _json_of(text: str) -> Json:
    try:
        return cast(Json, orjson.loads(text))
    except orjson.JSONDecodeError:
        raise InvalidInput("is not JSON") from None


def _tree_of(paths: list[str] | None) -> Tree | None:
    return None if paths is None else tree_of(path_of(path) for path in paths)


def _shape_of(value: Json, pointer: str) -> Shape:
    if isinstance(value, str) and value in list(Shape):
        return Shape(value)
    raise InvalidInput(f"must be one of {', '.join(Shape)}", pointer=pointer)


def _check_paths(value: Json, pointer: str) -> None:
    if not isinstance(value, list) or not 1 <= len(value) <= MOST_PATHS:
        raise InvalidInput(f"must be a list of 1 to {MOST_PATHS} paths such as data.user.email", pointer=pointer)
    paths: list[Path] = []
    for place, text in enumerate(value):
        if not isinstance(text, str):
            raise InvalidInput("must be a path such as data.user.email", pointer=f"{pointer}/{place}")
        path = path_of(text, pointer=f"{pointer}/{place}")
        if path in paths:
            raise InvalidInput("is named twice", pointer=f"{pointer}/{place}")
        paths.append(path)
    tree_of(paths, pointer=pointer)


def _check_mask(value: Json, pointer: str) -> None:
    if value != [PERSONAL]:
        raise InvalidInput(f'must be ["{PERSONAL}"]: what is marked secret is masked in any case', pointer=pointer)


def _thin(fields: JsonObject, _: str) -> JsonObject:
    names = ("id", "type", "created_at", "organization_id")
    return {**{name: fields[name] for name in names}, "link": f"{EVENTS_PATH}/{fields['id']}"}


def _delivery(fields: JsonObject, delivery_id: str) -> JsonObject:
    return {
        "id": delivery_id,
        "event": fields["type"],
        "created_at": _second(fields["created_at"]),
        "organization_id": fields["organization_id"],
        "data": fields["data"],
        "previous": fields["previous"],
        "metadata": fields["metadata"],
    }


def _timestamp(fields: JsonObject, _: str) -> JsonObject:
    return {
        "event": fields["type"],
        "timestamp": _second(fields["created_at"]),
        "data": fields["data"],
        "organization_id": fields["organization_id"],
    }


def _second(moment: object) -> str:
    """Return a moment as the seeds' examples write it: 2025-10-06T10:30:00Z. Its fraction is cut off."""
    text = cast(str, orjson.loads(orjson.dumps(moment, option=orjson.OPT_UTC_Z)))
    return text.partition(".")[0].removesuffix("Z") + "Z"


_SHAPES: Final[Mapping[Shape, Callable[[JsonObject, str], JsonObject]]] = {
    Shape.FULL: lambda fields, _: fields,
    Shape.THIN: _thin,
    Shape.DELIVERY: _delivery,
    Shape.TIMESTAMP: _timestamp,
}
