"""The secrets of confidential applications: shown once, kept as SHA-256, several while one is rotated."""

import hmac
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import uuid_utils
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from api.applications.tables import ApplicationRow, ApplicationSecretRow
from api.oauth.opaque import SECRET_PREFIX, digest_of, new_opaque
from schemas.ids import is_time_ordered

MOST_SECRETS: Final = 5  # as subscriptions have
_NOBODYS: Final = bytes(32)


async def add_secret(db: AsyncSession, application: ApplicationRow) -> str:
    """Give an application a fresh secret and return it."""
    secret = new_opaque(SECRET_PREFIX)
    db.add(
        ApplicationSecretRow(
            id=f"sec_{uuid_utils.uuid7().hex}",
            organization_id=application.organization_id,
            application_id=application.id,
            digest=digest_of(secret),
            created_at=datetime.now(UTC),
        )
    )
    await db.flush()
    return secret


async def rotate_secret(db: AsyncSession, application: ApplicationRow, *, overlap: timedelta) -> str:
    """Return another secret; those that are there are good for `overlap` more, or until they would have ended anyhow.

    Those that are over `MOST_SECRETS`, the oldest first, end at once. The caller holds the application's lock.
    """
    now = datetime.now(UTC)
    wanted = (
        select(ApplicationSecretRow)
        .where(
            ApplicationSecretRow.application_id == application.id,
            ApplicationSecretRow.organization_id == application.organization_id,
        )
        .order_by(ApplicationSecretRow.created_at.desc(), ApplicationSecretRow.id.desc())
    )
    for place, row in enumerate((await db.execute(wanted)).scalars().all()):
        end = now + overlap
        row.expires_at = end if row.expires_at is None else min(row.expires_at, end)
        if row.expires_at <= now or place >= MOST_SECRETS - 1:
            await db.execute(delete(ApplicationSecretRow).where(ApplicationSecretRow.id == row.id))
    return await add_secret(db, application)


async def with_digests(db: AsyncSession, client_id: str) -> tuple[ApplicationRow | None, list[bytes]]:
    """Return the application of a client id, None when there is none, and the digests of its secrets as of now."""
    if not is_time_ordered(client_id, "app"):
        return None, []
    wanted = (
        select(ApplicationRow, ApplicationSecretRow.digest, ApplicationSecretRow.expires_at)
        .outerjoin(ApplicationSecretRow, ApplicationSecretRow.application_id == ApplicationRow.id)
        .where(ApplicationRow.id == client_id)
    )
    rows, now = (await db.execute(wanted)).all(), datetime.now(UTC)
    digests = [digest for _, digest, end in rows if digest and (end is None or end > now)]
    return (rows[0][0] if rows else None), digests


def is_one_of(secret: str, digests: Sequence[bytes]) -> bool:
    """Return whether a secret has one of these digests. All of them are compared, in constant time."""
    given = digest_of(secret)
    return any([hmac.compare_digest(given, digest) for digest in (_NOBODYS, *digests)])  # noqa: C419 - not up to one
