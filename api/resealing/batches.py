"""Re-sealing, some rows a transaction: what is done shows in the rows, so a run goes on where one was killed.

Each function takes the first rows past `after` that hold a value of another key, locked in the order of their ids as
all who change several do, and seals those values with the current key. None commits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, LargeBinary, SQLColumnExpression, func, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from api.idempotency.answers import ANSWER_PURPOSE
from api.idempotency.tables import IdempotencyRow
from api.oauth.keys import SIGNING_KEY_PURPOSE
from api.oauth.tables import SigningKeyRow
from api.subscriptions.tables import SubscriptionRow, stored
from schemas.sealing import HEADERS_PURPOSE, SECRET_PURPOSE, Sealer, SealingError, sealed_prefix

Place = tuple[str, ...]
NOWHERE: Final[Place] = ("", "")


@dataclass(frozen=True, slots=True)
class Batch:
    """What became of some rows; `last` is the place of the last one, None when there were none."""

    last: Place | None
    resealed: int = 0
    unopened: tuple[str, ...] = ()


async def reseal_subscriptions(db: AsyncSession, sealer: Sealer, *, after: Place, limit: int) -> Batch:
    """Re-seal secrets and headers; each subscription becomes its next version, which the workers learn as any other.

    One that does not open stays as it is and is named: its key is missing here, or it is damaged.
    """
    wanted = (
        select(SubscriptionRow)
        .where(SubscriptionRow.id > after[0], of_another_key(sealer))
        .order_by(SubscriptionRow.id)
        .limit(limit)
        .with_for_update()
    )
    rows = (await db.execute(wanted)).scalars().all()
    unopened = []
    for row in rows:
        try:
            _reseal(row, sealer)
        except SealingError as error:
            unopened.append(f"{row.id}: {error}")
        else:
            await stored(db, row)
    return _batch([(row.id, "") for row in rows], unopened)


async def reseal_answers(db: AsyncSession, sealer: Sealer, *, after: Place, limit: int) -> Batch:
    """Re-seal what is kept for a day for `Idempotency-Key`."""
    row = IdempotencyRow
    wanted = (
        select(row)
        .where(tuple_(row.organization_id, row.key) > tuple_(*map(literal, after)), answer_of_another_key(sealer))
        .order_by(row.organization_id, row.key)
        .limit(limit)
        .with_for_update()
    )
    rows = (await db.execute(wanted)).scalars().all()
    unopened = []
    for kept in rows:
        place = {"organization": kept.organization_id, "row": kept.key, "purpose": ANSWER_PURPOSE}
        try:
            kept.answer = sealer.resealed(kept.answer or b"", **place)
        except SealingError as error:
            unopened.append(f"an answer kept for {kept.organization_id}: {error}")
    await db.flush()
    return _batch([(kept.organization_id, kept.key) for kept in rows], unopened)


async def reseal_signing_keys(db: AsyncSession, sealer: Sealer, *, after: Place, limit: int) -> Batch:
    """Re-seal the private keys that sign access tokens; they stay the same keys."""
    wanted = (
        select(SigningKeyRow)
        .where(SigningKeyRow.id > after[0], signing_key_of_another_key(sealer))
        .order_by(SigningKeyRow.id)
        .limit(limit)
        .with_for_update()
    )
    rows = (await db.execute(wanted)).scalars().all()
    unopened = []
    for row in rows:
        try:
            row.private_key = sealer.resealed(row.private_key, organization="", row=row.id, purpose=SIGNING_KEY_PURPOSE)
        except SealingError as error:
            unopened.append(f"the signing key {row.id}: {error}")
    await db.flush()
    return _batch([(row.id, "") for row in rows], unopened)


def of_another_key(sealer: Sealer) -> ColumnElement[bool]:
    """Return whether a subscription holds a value that the current key did not seal."""
    prefix = sealed_prefix(sealer.current)
    secret = func.unnest(SubscriptionRow.secrets, type_=LargeBinary).column_valued("secret")
    return _other(SubscriptionRow.headers, prefix) | select(secret).where(_other(secret, prefix)).exists()


def answer_of_another_key(sealer: Sealer) -> ColumnElement[bool]:
    """Return whether an answer is kept that the current key did not seal."""
    return _other(IdempotencyRow.answer, sealed_prefix(sealer.current))


def signing_key_of_another_key(sealer: Sealer) -> ColumnElement[bool]:
    """Return whether a key that signs access tokens is sealed with another key than the current one."""
    return _other(SigningKeyRow.private_key, sealed_prefix(sealer.current))


def _other(
    sealed: SQLColumnExpression[bytes] | SQLColumnExpression[bytes | None], prefix: bytes
) -> ColumnElement[bool]:
    return func.coalesce(func.substring(sealed, 1, len(prefix)) != literal(prefix), False)


def _reseal(row: SubscriptionRow, sealer: Sealer) -> None:
    secrets = [
        sealer.resealed(sealed, organization=row.organization_id, row=row.id, purpose=SECRET_PURPOSE)
        for sealed in row.secrets
    ]
    if row.headers is not None:
        row.headers = sealer.resealed(
            row.headers, organization=row.organization_id, row=row.id, purpose=HEADERS_PURPOSE
        )
    row.secrets = secrets


def _batch(places: Sequence[Place], unopened: Sequence[str]) -> Batch:
    return Batch(places[-1] if places else None, len(places) - len(unopened), tuple(unopened))
