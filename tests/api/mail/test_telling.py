"""Who is told by e-mail that a subscription was disabled: owners and admins, when nobody did it."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from api.database import bind, transaction_of
from api.mail.tables import MailRow
from api.projection.disabling import Reason
from api.subscriptions.announcing import Failures
from api.subscriptions.bodies import NewSubscription
from api.subscriptions.changes import row_of, set_enabled
from api.subscriptions.tables import MANUAL, stored, subscription_to_change
from schemas.ids import OrganizationId
from schemas.sealing import sealer_of
from tests.api.conftest import MASTER_KEYS
from tests.api.mail.posting import ORGANIZATION, PostOffice, Server, serving

pytestmark = pytest.mark.postgres

ACME = OrganizationId(ORGANIZATION)
URL = "https://receiver.example/in"


async def subscribed(office: PostOffice) -> str:
    body = NewSubscription.model_validate({"url": f"{URL}?key=in-the-query", "event_types": ["*"]})
    row, _ = row_of(body, url=f"{URL}?key=in-the-query", organization_id=ACME, sealer=sealer_of(MASTER_KEYS))
    async with transaction_of(office.engine) as db:
        await stored(db, row)
    return row.id


async def disable(office: PostOffice, subscription_id: str, *, reason: str, as_tenant: bool = False) -> None:
    """Disable it, as the projection does, or as a request that is bound to the organization."""
    failures = Failures(
        since=datetime.now(UTC) - timedelta(days=1), attempts=12, given_up=3, status=503, error_kind="http"
    )
    async with transaction_of(office.engine) as db:
        if as_tenant:
            bind(db, ACME)
        row = await subscription_to_change(db, ACME, subscription_id)
        assert row is not None
        set_enabled(row, False, reason=reason)
        await stored(db, row, failures=failures)
    office.clock.at = datetime.now(UTC)


@pytest.mark.parametrize("as_tenant", [False, True])
async def test_owners_and_admins_are_told_once_each(office: PostOffice, as_tenant: bool) -> None:
    for role, email, locked in (
        ("owner", "owner@example.com", False),
        ("admin", "admin@example.com", False),
        ("developer", "developer@example.com", False),
        ("rol_admin", "other@example.com", False),
        ("admin", "locked@example.com", True),
        (None, "nobody@example.com", False),
    ):
        await office.user(role=role, email=email, locked=locked)
    subscription_id = await subscribed(office)
    await disable(office, subscription_id, reason=Reason.EXHAUSTED, as_tenant=as_tenant)
    async with serving(Server()) as server:
        assert await office.send(office.sender(server))
    assert sorted(message["To"] for message in server.got) == ["admin@example.com", "owner@example.com"]
    for message in server.got:
        for part in message.iter_parts():
            said = part.get_content()
            assert subscription_id in said
            assert URL in said
            assert "too many deliveries in a row were given up" in said
            assert "status 503" in said
            assert "in-the-query" not in said
    assert len({message["Message-ID"] for message in server.got}) == 2


async def test_members_of_other_organizations_are_not_told(office: PostOffice) -> None:
    await office.rows(
        "INSERT INTO organizations (id, version, name, created_at, updated_at)"
        " VALUES ('org_other', 1, 'Other', now(), now())"
    )
    await office.user(role="owner")
    await office.rows("UPDATE memberships SET organization_id = 'org_other'")
    await disable(office, await subscribed(office), reason=Reason.GONE)
    assert await office.rows("SELECT FROM mails") == []


@pytest.mark.parametrize("role", ["owner", None])
async def test_by_hand_or_without_members_nobody_is(office: PostOffice, role: str | None) -> None:
    await office.user(role=role)
    await disable(office, await subscribed(office), reason=Reason.GONE if role is None else MANUAL)
    assert await office.rows("SELECT FROM mails") == []


async def test_an_organization_that_was_never_made_has_nobody(office: PostOffice) -> None:
    subscription_id = await subscribed(office)
    await office.rows("UPDATE subscriptions SET organization_id = 'org_never'")
    async with transaction_of(office.engine) as db:
        row = await subscription_to_change(db, OrganizationId("org_never"), subscription_id)
        assert row is not None
        set_enabled(row, False, reason=Reason.FAILING)
        await stored(db, row)
    assert await office.rows("SELECT FROM mails") == []


async def test_it_is_told_with_the_change_or_not_at_all(office: PostOffice) -> None:
    await office.user(role="owner")
    subscription_id = await subscribed(office)
    async with AsyncSession(office.engine) as db:
        row = await subscription_to_change(db, ACME, subscription_id)
        assert row is not None
        set_enabled(row, False, reason=Reason.GONE)
        await stored(db, row)
        assert await db.scalar(select(func.count()).select_from(MailRow)) == 1
        assert await office.rows("SELECT FROM mails") == []
        await db.rollback()
    assert await office.rows("SELECT FROM mails") == []
