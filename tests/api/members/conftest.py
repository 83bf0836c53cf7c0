"""An organization with people in it."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.api.conftest import settings_of
from tests.api.members.acting import World, world_of


@pytest_asyncio.fixture
async def world(shared_url: str) -> AsyncIterator[World]:
    """Yield an app in an organization of this test's own."""
    async with world_of(settings_of(shared_url)) as world:
        yield world
