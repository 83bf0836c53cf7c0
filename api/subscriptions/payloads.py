"""How a subscription's bodies look: the JSON of it, and its row. What a payload may say is in schemas/payloads."""

from typing import Annotated, Any, Final, Literal, cast

import orjson
from pydantic import BaseModel, Field

from api.fields import holds, without_default
from api.requests import JsonBody
from api.subscriptions.tables import SubscriptionRow
from schemas.json_values import Json
from schemas.payloads import Shape, checked_payload
from schemas.payloads.paths import LONGEST_PATH, path_of
from schemas.payloads.payload import MOST_PATHS

POINTER: Final = "/payload"
GIVEN: Final[dict[str, Any]] = {"shape": "full", "include": None, "exclude": ["data.name"], "mask": ["personal"]}

ShapeField = Annotated[
    Shape,
    Field(
        strict=False,
        description=(
            "`full` (null too): Hookline's own envelope. `thin`: ids and `link`, the path to GET the event from. "
            "`delivery`: `id` is the delivery's, then `event`, `created_at`, `organization_id`, `data`, `previous`, "
            "`metadata`. `timestamp`: `event`, `timestamp`, `data`, `organization_id`."
        ),
    ),
]
FieldPath = Annotated[str, Field(min_length=1, max_length=LONGEST_PATH), holds(path_of)]
Paths = Annotated[list[FieldPath], Field(min_length=1, max_length=MOST_PATHS)]
Include = Annotated[
    Paths,
    Field(
        description=(
            "The only fields of `data`, `previous` and `metadata` that are sent, by path: `data.user.email`, "
            "`data.items.*.price`, or as a JSON pointer, `/data/user/email`. null: all."
        ),
        examples=[["data.id", "data.items.*.price"]],
    ),
]
Exclude = Annotated[Paths, Field(description="Fields that are not sent; they go out of what is included, too.")]
Mask = Annotated[
    list[Literal["personal"]],
    Field(
        min_length=1,
        max_length=1,
        description="`personal`: fields that the event type marks so are `***`. Secret ones always are.",
    ),
]


class PayloadSettings(JsonBody):
    """How bodies look. It says nothing of where they are sent or how: never the URL or the method."""

    shape: ShapeField | None = None
    include: Include | None = None
    exclude: Exclude | None = None
    mask: Mask | None = None


class PayloadPatch(JsonBody):
    """The same in a merge patch: what is left out stays, null takes one back to its default."""

    shape: ShapeField | None = Field(default=None, json_schema_extra=without_default)
    include: Include | None = Field(default=None, json_schema_extra=without_default)
    exclude: Exclude | None = Field(default=None, json_schema_extra=without_default)
    mask: Mask | None = Field(default=None, json_schema_extra=without_default)


class ShownPayload(BaseModel):
    """How bodies look."""

    shape: Shape
    include: list[str] | None = Field(description="null: all fields.")
    exclude: list[str] | None
    mask: list[str] | None


def set_payload(body: PayloadSettings | None, row: SubscriptionRow) -> None:
    """Make a row say what `body` says; None is the full body. Raises InvalidInput when it does not go together."""
    _set(None if body is None else text_of(body), row)


def apply_payload(patch: PayloadPatch | None, row: SubscriptionRow) -> None:
    """Merge a patch into what a row says; None takes it back to the full body. Raises InvalidInput as above."""
    if patch is None:
        _set(None, row)
        return
    merged = {**(row.payload or {}), **patch.model_dump(mode="json", exclude_unset=True)}
    _set(checked_payload(merged, pointer=POINTER), row)


def text_of(body: PayloadSettings, *, pointer: str = POINTER) -> str:
    """Return what a body says as JSON text; raises InvalidInput when it does not go together."""
    return checked_payload(cast(Json, body.model_dump(mode="json")), pointer=pointer)


def shown_payload(row: SubscriptionRow) -> ShownPayload | None:
    """Return how a row's bodies look; None: the full body."""
    if row.payload is None:
        return None
    kept = row.payload
    return ShownPayload.model_validate({name: kept.get(name) for name in ShownPayload.model_fields})


def _set(text: str | None, row: SubscriptionRow) -> None:
    payload = None if text is None else cast(dict[str, Json], orjson.loads(text))
    if payload != row.payload:
        row.payload = payload
        row.transformation_version = (row.transformation_version or 0) + 1
