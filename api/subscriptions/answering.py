"""A subscription in an answer: its body, how it stands, and its ETag."""

from fastapi import Response

from api.database import Db
from api.services import Services
from api.subscriptions import tables
from api.subscriptions.bodies import SubscriptionBody, SubscriptionWithSecret
from api.subscriptions.changes import shown
from api.subscriptions.filtering import filter_errors_of
from api.subscriptions.finding import etag_of_shown
from api.subscriptions.standing import LIVE, delivering_of
from api.subscriptions.tables import SubscriptionRow


async def answered(db: Db, services: Services, row: SubscriptionRow, response: Response) -> SubscriptionBody:
    """Return the body of a row and put its ETag into the response."""
    state = await tables.state_of(db, row, failing_after=services.settings.failing_after)
    delivering = (await delivering_of(db, row.organization_id, [row.id])).get(row.id, LIVE)
    errors = (await filter_errors_of(db, row.organization_id, [row])).get(row.id)
    response.headers["ETag"] = etag_of_shown(row, state, delivering, failures=0 if errors is None else errors.count)
    return shown(row, state, services.sealer, delivering=delivering, filter_errors=errors)


async def answered_once(
    db: Db, services: Services, row: SubscriptionRow, secret: str, response: Response
) -> SubscriptionWithSecret:
    """Return the same with the secret that the row just got."""
    return SubscriptionWithSecret(**dict(await answered(db, services, row, response)), secret=secret)
