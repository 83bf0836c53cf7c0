"""A database with an organization, for e-mails."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.api.mail.posting import PostOffice


@pytest_asyncio.fixture
async def office(upgraded_url: str) -> AsyncIterator[PostOffice]:
    office = PostOffice(upgraded_url)
    await office.made()
    yield office
    await office.engine.dispose()
