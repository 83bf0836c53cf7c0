"""What a delivery's attempts sent, made again: the log keeps an event's full body once, and each payload's versions."""

from collections.abc import Mapping, Sequence

import orjson
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from api.deliveries.bodies import SHOWN_BYTES
from api.deliveries.tables import AttemptRow, DeliveryRow, EventRow
from api.event_types.own import catalogue_of_all_versions
from api.subscriptions.transformations import payloads_of
from schemas.ids import OrganizationId
from schemas.payloads import PayloadSource, payload_of


async def bodies_sent(db: AsyncSession, delivery: DeliveryRow, attempts: Sequence[AttemptRow]) -> Mapping[int, bytes]:
    """Return what attempts of each transformation version sent, or its first 10,240 bytes.

    A version is missing when the log does not hold the event, or no such version.
    """
    versions = {attempt.transformation_version for attempt in attempts}
    shaped = {version for version in versions if version > 0}
    column = EventRow.body if shaped else func.substr(EventRow.body, 1, SHOWN_BYTES)
    wanted = select(column).where(EventRow.id == delivery.event_id, EventRow.at == delivery.at)
    full = (await db.execute(wanted)).scalar_one_or_none()
    if full is None:
        return {}
    if not shaped:
        return dict.fromkeys(versions, full)
    organization_id = OrganizationId(delivery.organization_id)
    known = await catalogue_of_all_versions(db, [(organization_id, delivery.event_type)])
    source = PayloadSource.stored(full, known.get(delivery.event_type, organization_id))
    kept = await payloads_of(db, delivery.organization_id, delivery.subscription_id, shaped)
    made = {
        version: payload_of(None if payload is None else orjson.dumps(payload).decode()).body(
            source, delivery_id=delivery.id
        )
        for version, payload in kept.items()
    }
    return {**dict.fromkeys(versions - shaped, full), **made}
