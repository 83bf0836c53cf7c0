"""By which master keys the values in the database are sealed. No query here commits."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from api.idempotency.tables import IdempotencyRow
from api.oauth.tables import SigningKeyRow
from api.resealing.batches import answer_of_another_key, of_another_key, signing_key_of_another_key
from api.subscriptions.tables import SubscriptionRow
from producers.outbox import outbox
from schemas.codec import UnreadableRecord, decode
from schemas.records import Subscription
from schemas.sealing import Sealer, SealingError, key_id_of
from schemas.topics import SUBSCRIPTIONS

UNREADABLE = "?"  # instead of a key's id, where a value is no sealed one
_READ_AT_ONCE = 1000


@dataclass(slots=True)
class Sealed:
    """How many values each key sealed: of subscriptions, kept answers, signing keys, and what waits in the outbox."""

    subscriptions: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    signing_keys: Counter[str] = field(default_factory=Counter)
    outbox: Counter[str] = field(default_factory=Counter)


async def sealed_by(db: AsyncSession) -> Sealed:
    """Return what is in the database by key id, read in one pass that keeps nobody waiting."""
    found = Sealed()
    subscriptions = select(SubscriptionRow.secrets, SubscriptionRow.headers)
    async for secrets, headers in await db.stream(subscriptions.execution_options(yield_per=_READ_AT_ONCE)):
        found.subscriptions.update(key_ids_of(secrets, headers))
    answers = select(IdempotencyRow.answer).where(IdempotencyRow.answer.is_not(None))
    async for (answer,) in await db.stream(answers.execution_options(yield_per=_READ_AT_ONCE)):
        found.answers.update(key_ids_of((), answer))
    for sealed in (await db.execute(select(SigningKeyRow.private_key))).scalars():  # a handful
        found.signing_keys.update(key_ids_of((), sealed))
    waiting = select(outbox.c.value).where(outbox.c.topic == SUBSCRIPTIONS, outbox.c.value.is_not(None))
    async for (value,) in await db.stream(waiting.execution_options(yield_per=_READ_AT_ONCE)):
        found.outbox.update(key_ids_in_record(value))
    return found


async def left_to_reseal(db: AsyncSession, sealer: Sealer) -> int:
    """Return how many rows hold a value that the current key did not seal."""
    left = (
        (SubscriptionRow, of_another_key(sealer)),
        (IdempotencyRow, answer_of_another_key(sealer)),
        (SigningKeyRow, signing_key_of_another_key(sealer)),
    )
    counts = [select(func.count()).select_from(table).where(other) for table, other in left]
    return sum([int((await db.execute(count)).scalar_one()) for count in counts])


def key_ids_in_record(value: bytes) -> list[str]:
    """Return the id of each key that a subscription's record needs."""
    try:
        record = decode(Subscription, value)
    except UnreadableRecord:
        return [UNREADABLE]
    return key_ids_of(record.secrets, record.headers)


def key_ids_of(secrets: Iterable[bytes], headers: bytes | None) -> list[str]:
    """Return the id of each key that these sealed values need."""
    return [_key_id(sealed) for sealed in (*secrets, *([] if headers is None else [headers]))]


def _key_id(sealed: bytes) -> str:
    try:
        return key_id_of(sealed)
    except SealingError:
        return UNREADABLE
