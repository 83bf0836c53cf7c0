"""`POST /subscriptions/bulk`: one action for many subscriptions, in one transaction, with a result for each."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Final, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncSession

from api.callers import may
from api.credentials import Caller
from api.database import Db
from api.errors import NotFound
from api.fields import holds
from api.permissions import Permission
from api.problems import document_of, documented
from api.requests import JsonBody, JsonRoute
from api.subscriptions import tables
from api.subscriptions.enabling import disable, enable
from api.subscriptions.finding import NOT_THERE, PATH
from api.subscriptions.pausing import pause, resume
from api.subscriptions.tables import SubscriptionRow
from schemas.errors import InvalidInput
from schemas.ids import is_time_ordered

MOST_IDS: Final = 100
_ID: Final = "sub_019a9f2a11127a3b8c4d5e6f708192a3"

Action = Literal["enable", "disable", "pause", "resume", "delete"]

router = APIRouter(
    prefix=PATH,
    tags=["subscriptions"],
    route_class=JsonRoute,
    responses=documented(400, 401, 413, 415, 422, 503),
)

Changer = Annotated[Caller, may(Permission.SUBSCRIPTIONS_UPDATE)]


def _check_ids(ids: list[str]) -> None:
    if len(set(ids)) < len(ids):
        raise InvalidInput("name each subscription once")


class Bulk(JsonBody):
    """One action for many subscriptions."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"action": "disable", "ids": [_ID]}]})

    action: Action
    ids: Annotated[
        list[Annotated[str, Field(max_length=100)]],
        Field(min_length=1, max_length=MOST_IDS, json_schema_extra={"uniqueItems": True}),
        holds(_check_ids),
    ]


class ItemProblem(BaseModel):
    """Why one of many was refused: a problem document without what is the request's."""

    type: str
    title: str
    status: int
    detail: str


class BulkResult(BaseModel):
    """What became of one."""

    id: str
    ok: bool
    error: ItemProblem | None = Field(default=None, description="Only when it was refused.")


class BulkResults(BaseModel):
    """What became of each, in the order of the request."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"results": [{"id": _ID, "ok": True, "error": None}]}]})

    results: list[BulkResult]


@router.post("/bulk", operation_id="change_subscriptions")
async def change_subscriptions(body: Bulk, caller: Changer, db: Db) -> BulkResults:
    """Enable, disable, pause, resume or delete up to 100 subscriptions.

    Those that are not there are told, the others are done. Resumed ones catch up at the rate that they have.
    """
    ids = [identifier for identifier in body.ids if is_time_ordered(identifier, "sub")]
    rows = await tables.subscriptions_to_change(db, caller.organization_id, ids)
    for row in rows.values():
        await _ACTIONS[body.action](db, row)
    return BulkResults(results=[_result_of(identifier, there=identifier in rows) for identifier in body.ids])


def _result_of(identifier: str, *, there: bool) -> BulkResult:
    if there:
        return BulkResult(id=identifier, ok=True)
    refusal = NotFound(NOT_THERE)
    document = document_of(refusal, request_id="", status=refusal.status)
    return BulkResult(id=identifier, ok=False, error=ItemProblem.model_validate(document))


_ACTIONS: Final[dict[Action, Callable[[AsyncSession, SubscriptionRow], Awaitable[None]]]] = {
    "enable": enable,
    "disable": disable,
    "pause": pause,
    "resume": resume,
    "delete": tables.removed,
}
