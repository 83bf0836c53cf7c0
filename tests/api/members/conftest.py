"""An organization with people in it."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.api.conftest import settings_of
from tests.api.members.acting import World, world_in
from tests.api.running import RunningApps


@pytest_asyncio.fixture
async def world(running: RunningApps, shared_url: str) -> AsyncIterator[World]:
    """Yield an app in an organization of this test's own."""
    app = await running.app(settings_of(shared_url))
    async with world_in(app, shared_url) as world:
        yield world
