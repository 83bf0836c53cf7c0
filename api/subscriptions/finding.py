"""A subscription by the id in a route's path, and what its ETag is."""

from hashlib import sha256
from typing import Final

from fastapi import Request

from api.credentials import Caller
from api.database import Db
from api.errors import NotFound
from api.preconditions import etag_of, is_unchanged
from api.subscriptions import tables
from api.subscriptions.standing import Delivering, DeliveringState
from api.subscriptions.tables import SubscriptionRow, SubscriptionState
from schemas.ids import is_time_ordered

PATH: Final = "/api/v1/subscriptions"
NOT_THERE: Final = "this organization has no subscription of this id"


async def found(db: Db, caller: Caller, subscription_id: str) -> SubscriptionRow:
    """Return the caller's subscription; raises NotFound."""
    row = None
    if is_time_ordered(subscription_id, "sub"):
        row = await tables.subscription_of(db, caller.organization_id, subscription_id)
    return _there(row)


async def found_to_change(db: Db, caller: Caller, subscription_id: str, request: Request) -> SubscriptionRow:
    """Return the same, locked; raises NotFound, and PreconditionFailed when If-Match names another version."""
    row = None
    if is_time_ordered(subscription_id, "sub"):
        row = await tables.subscription_to_change(db, caller.organization_id, subscription_id)
    row = _there(row)
    is_unchanged(request, etag_of(row.version))
    return row


def etag_of_shown(row: SubscriptionRow, state: SubscriptionState, delivering: Delivering, *, failures: int = 0) -> str:
    """Return the ETag of a subscription as it is shown.

    It begins to fail, is behind, and its filters fail (`failures` times), without a new version; a client that asks
    with If-None-Match must see that.
    """
    tag = f"{row.version}-failing" if state is SubscriptionState.FAILING else f"{row.version}"
    if failures:
        tag = f"{tag}-{failures}"
    if delivering.state is DeliveringState.LIVE:
        return f'"{tag}"'
    return f'"{tag}-behind-{sha256(delivering.model_dump_json().encode()).hexdigest()[:8]}"'


def _there(row: SubscriptionRow | None) -> SubscriptionRow:
    if row is None:
        raise NotFound(NOT_THERE)
    return row
