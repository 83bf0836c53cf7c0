"""Values get the current master key: the same text at the same place, once, and what does not open stays as it is."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import orjson
import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from api.database import engine_of, transaction_of
from api.idempotency.answers import ANSWER_PURPOSE
from api.idempotency.tables import IdempotencyRow
from api.oauth.keys import kept_keys, private_jwk, rotate_if_due
from api.resealing.batches import NOWHERE, reseal_answers, reseal_signing_keys, reseal_subscriptions
from api.resealing.counting import UNREADABLE, left_to_reseal, sealed_by
from api.subscriptions.bodies import NewSubscription
from api.subscriptions.changes import opened_secrets, row_of
from api.subscriptions.tables import SubscriptionRow, stored
from schemas.ids import OrganizationId
from schemas.sealing import HEADERS_PURPOSE, Sealer, new_master_key, sealer_of
from tests.api.conftest import settings_of
from tests.api.subscriptions.making import outbox_of

OLD_KEY, NEW_KEY = f"old{new_master_key()}", f"new{new_master_key()}"
OLD, NEW, BOTH = sealer_of(OLD_KEY), sealer_of(NEW_KEY), sealer_of(f"{NEW_KEY},{OLD_KEY}")
ORGANIZATION = OrganizationId("org_1")
ANSWER = b'{"content-type":"application/json"}\n{"secret":"whsec_shown-once"}'

pytestmark = pytest.mark.postgres


@pytest.fixture
async def engine(upgraded_url: str) -> AsyncIterator[AsyncEngine]:
    engine = engine_of(settings_of(upgraded_url))
    yield engine
    await engine.dispose()


async def subscribed(
    engine: AsyncEngine, sealer: Sealer, *, organization: OrganizationId = ORGANIZATION, **more: object
) -> tuple[str, list[bytes]]:
    """Write a subscription; return its id and its keys."""
    body = NewSubscription.model_validate({"url": "https://example.com", "event_types": ["*"], **more})
    row, _ = row_of(body, url="https://example.com", organization_id=organization, sealer=sealer)
    async with transaction_of(engine) as db:
        await stored(db, row)
    return row.id, opened_secrets(row, sealer)


async def answered(engine: AsyncEngine, sealer: Sealer, *, key: str = "key-1") -> None:
    sealed = sealer.seal(ANSWER, organization=ORGANIZATION, row=key, purpose=ANSWER_PURPOSE)
    async with transaction_of(engine) as db:
        db.add(
            IdempotencyRow(
                organization_id=ORGANIZATION,
                key=key,
                fingerprint=b"",
                status=201,
                answer=sealed,
                created_at=datetime.now(UTC),
            )
        )


async def row(engine: AsyncEngine, subscription_id: str) -> SubscriptionRow:
    async with transaction_of(engine) as db:
        return (await db.execute(select(SubscriptionRow).where(SubscriptionRow.id == subscription_id))).scalar_one()


async def test_secrets_headers_and_answers_open_with_the_new_key_alone_afterwards(
    engine: AsyncEngine, upgraded_url: str
) -> None:
    identifier, keys = await subscribed(engine, OLD, headers={"Authorization": "Bearer of-theirs"})
    await answered(engine, OLD)
    async with transaction_of(engine) as db:
        assert await left_to_reseal(db, BOTH) == 2
        assert (await reseal_subscriptions(db, BOTH, after=NOWHERE, limit=10)).resealed == 1
        assert (await reseal_answers(db, BOTH, after=NOWHERE, limit=10)).resealed == 1
        assert await left_to_reseal(db, BOTH) == 0
    changed = await row(engine, identifier)
    assert (changed.version, opened_secrets(changed, NEW)) == (2, keys)
    assert changed.headers is not None
    opened = NEW.open(changed.headers, organization=ORGANIZATION, row=identifier, purpose=HEADERS_PURPOSE)
    assert orjson.loads(opened) == {"Authorization": "Bearer of-theirs"}
    async with transaction_of(engine) as db:
        kept = (await db.execute(select(IdempotencyRow.answer))).scalar_one()
        assert NEW.open(kept or b"", organization=ORGANIZATION, row="key-1", purpose=ANSWER_PURPOSE) == ANSWER
    told = (await outbox_of(upgraded_url, identifier))[-1]
    assert told is not None
    assert (told.version, told.secrets, told.headers) == (2, tuple(changed.secrets), changed.headers)


async def test_batches_end_and_a_second_run_finds_nothing(engine: AsyncEngine) -> None:
    identifiers = [(await subscribed(engine, OLD))[0] for _ in range(5)]
    fresh, _ = await subscribed(engine, NEW)
    after, sizes = NOWHERE, []
    for _ in range(4):
        async with transaction_of(engine) as db:
            batch = await reseal_subscriptions(db, BOTH, after=after, limit=2)
        sizes.append(batch.resealed)
        after = batch.last or after
    assert sizes == [2, 2, 1, 0]
    async with transaction_of(engine) as db:
        again = await reseal_subscriptions(db, BOTH, after=NOWHERE, limit=10)
    assert (again.last, again.resealed) == (None, 0)
    assert {(await row(engine, each)).version for each in identifiers} == {2}
    assert (await row(engine, fresh)).version == 1


async def test_a_value_of_a_missing_key_or_of_another_organization_stays_and_is_named(engine: AsyncEngine) -> None:
    good, _ = await subscribed(engine, OLD)
    missing, _ = await subscribed(engine, sealer_of(f"lost{new_master_key()}"))
    moved, _ = await subscribed(engine, OLD, organization=OrganizationId("org_2"))
    theirs = (await row(engine, good)).secrets
    async with transaction_of(engine) as db:
        await db.execute(update(SubscriptionRow).where(SubscriptionRow.id == moved).values(secrets=theirs))
        batch = await reseal_subscriptions(db, BOTH, after=NOWHERE, limit=10)
    assert batch.resealed == 1
    assert {line.split(":")[0] for line in batch.unopened} == {missing, moved}
    assert (await row(engine, moved)).secrets == theirs
    assert [(await row(engine, each)).version for each in (good, missing, moved)] == [2, 1, 1]


async def test_counts_by_key_what_the_tables_and_the_outbox_hold(engine: AsyncEngine) -> None:
    await subscribed(engine, OLD, headers={"X-A": "1"})
    damaged, _ = await subscribed(engine, NEW)
    await answered(engine, OLD)
    async with transaction_of(engine) as db:
        await db.execute(update(SubscriptionRow).where(SubscriptionRow.id == damaged).values(secrets=[b"\x02"]))
        found = await sealed_by(db)
    old, new = OLD.current, NEW.current
    assert found.subscriptions == {old: 2, UNREADABLE: 1}
    assert found.answers == {old: 1}
    assert found.outbox == {old: 2, new: 1}


async def test_signing_keys_stay_the_same_keys_under_the_new_one(engine: AsyncEngine, upgraded_url: str) -> None:
    assert await rotate_if_due(engine, OLD, settings_of(upgraded_url)) == 2
    async with transaction_of(engine) as db:
        before = {row.id: private_jwk(row, OLD) for row in await kept_keys(db)}
        assert (await sealed_by(db)).signing_keys == {OLD.current: 2}
        assert await left_to_reseal(db, BOTH) == 2
        assert (await reseal_signing_keys(db, BOTH, after=NOWHERE, limit=10)).resealed == 2
        assert await left_to_reseal(db, BOTH) == 0
    async with transaction_of(engine) as db:
        assert {row.id: private_jwk(row, NEW) for row in await kept_keys(db)} == before
        assert (await sealed_by(db)).signing_keys == {NEW.current: 2}
        lost = await reseal_signing_keys(db, OLD, after=NOWHERE, limit=10)
    assert (lost.resealed, len(lost.unopened)) == (0, 2)
