"""What a role allows and what a member may do by it."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncSession

from api.database import transaction_of
from api.permissions import BUILT_IN_ROLES, Permission
from api.roles.permissions import membership_permissions, permissions_of_role
from tests.api.members.acting import World, rows_of

pytestmark = pytest.mark.postgres
UNKNOWN = "rol_019a9f2b6c7d7e8f9a0b1c2d3e4f5a6b"


@pytest_asyncio.fixture
async def db(world: World) -> AsyncIterator[AsyncSession]:
    async with transaction_of(world.app.state.engine) as db:
        yield db


async def role(world: World, *permissions: str) -> str:
    response = await world.admin.post("/api/v1/roles", json={"name": "Own", "permissions": ["events:read"]})
    role_id = str(response.json()["id"])
    await rows_of(world.url, "UPDATE roles SET permissions = $2 WHERE id = $1", role_id, list(permissions))
    return role_id


@pytest.mark.parametrize("name", list(BUILT_IN_ROLES))
async def test_a_built_in_role_allows_the_same_everywhere(world: World, db: AsyncSession, name: str) -> None:
    member = await world.member(name)
    assert await permissions_of_role(db, world.organization_id, name) == BUILT_IN_ROLES[name]
    assert await membership_permissions(db, world.organization_id, member.id) == BUILT_IN_ROLES[name]


async def test_an_own_role_allows_what_its_row_says_in_its_organization_only(world: World, db: AsyncSession) -> None:
    role_id = await role(world, "events:read", "tokens:read")
    allowed = {Permission.EVENTS_READ, Permission.TOKENS_READ}
    assert await permissions_of_role(db, world.organization_id, role_id) == allowed
    elsewhere = await world.another_organization()
    stranger = await world.member(role_id, organization_id=elsewhere)  # as no route would
    assert await permissions_of_role(db, elsewhere, role_id) == frozenset()
    assert await membership_permissions(db, elsewhere, stranger.id) == frozenset()


async def test_what_is_not_there_allows_nothing(world: World, db: AsyncSession) -> None:
    lost = await world.member(UNKNOWN)
    for role_id in (UNKNOWN, "", "nobody", "read", "subscriptions:*"):
        assert await permissions_of_role(db, world.organization_id, role_id) == frozenset()
    assert await membership_permissions(db, world.organization_id, lost.id) == frozenset()


async def test_a_permission_of_another_release_allows_nothing(world: World, db: AsyncSession) -> None:
    role_id = await role(world, "events:read", "rockets:launch", "limits:update", "organizations:create")
    member = await world.member(role_id)
    assert await membership_permissions(db, world.organization_id, member.id) == frozenset({Permission.EVENTS_READ})


async def test_who_is_no_member_is_none(world: World, db: AsyncSession) -> None:
    member = await world.member("owner")
    assert await membership_permissions(db, "org_nowhere", member.id) is None
    assert await membership_permissions(db, world.organization_id, (await world.user()).id) is None
