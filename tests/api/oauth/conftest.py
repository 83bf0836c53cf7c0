"""The authorization server as browsers and clients see it."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.api.oauth.scene import Scene, scene_in
from tests.api.running import RunningApps


@pytest_asyncio.fixture
async def scene(running: RunningApps, shared_url: str) -> AsyncIterator[Scene]:
    """An organization, its owner, who has not signed in yet, and an application."""
    async with scene_in(running, shared_url) as made:
        yield made


@pytest_asyncio.fixture
async def signed_in(scene: Scene) -> Scene:
    """The same, and the owner has signed in."""
    await scene.sign_in()
    return scene
