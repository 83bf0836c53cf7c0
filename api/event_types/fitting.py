"""Whether what an event type says beside its schema fits it: its example, and the field that orders its events."""

from collections.abc import Mapping
from typing import Any, Final, cast

from schemas.catalogue import EventType
from schemas.errors import InvalidInput
from schemas.json_values import Json
from schemas.redaction import without_sensitive

_ORDERING: Final = ("string", "enum")  # keys are text


def check_fits(name: str, schema: Mapping[str, Any], *, example: Mapping[str, Any], ordering_key: str | None) -> None:
    """Raise InvalidInput unless the example fits the schema, and the ordering key is one of its fields.

    The schema was checked. Pointers are those of the REST body: `/example/…` and `/ordering_key`.
    """
    event_type = EventType(name=name, category="", description="", schema=schema, example=example, open_ended=False)
    event_type.check(without_sensitive(cast(Json, example)), pointer="/example")
    if ordering_key is not None:
        _check_ordering_key(ordering_key, schema)


def _check_ordering_key(name: str, schema: Mapping[str, Any]) -> None:
    field = next((field for field in schema["fields"] if field["name"] == name), None)
    if field is None:
        raise InvalidInput("must be a field of the schema", pointer="/ordering_key")
    kinds = field["type"] if isinstance(field["type"], list) else [field["type"]]
    kind = next(kind for kind in kinds if kind != "null")
    if (kind if isinstance(kind, str) else kind["type"]) not in _ORDERING:
        raise InvalidInput("must be a field of text or an enum: keys are text", pointer="/ordering_key")
    if field.get("sensitivity") == "secret":
        raise InvalidInput("must not be a secret field: keys are on the topic as they are", pointer="/ordering_key")
