"""A page of jobs costs what is on it, however many retries by hand there were: each is a row of `replays` too."""

import asyncpg
import pytest

from api.database import engine_of
from api.jobs.kinds import KINDS
from api.jobs.listing import jobs_of
from bench.plans import plans_of
from schemas.ids import OrganizationId
from tests.api.conftest import settings_of

pytestmark = pytest.mark.postgres

RETRIED = OrganizationId("org_retried")
FILL = """
INSERT INTO replays (
    id, organization_id, is_retry, state, created_at, rate_per_s, total, sent, succeeded, failed, held, skipped,
    cancelled
)
SELECT 'rpl_' || lpad(to_hex(i), 32, '0'), $1, i % 100 <> 0, 'completed', now() + i * interval '1 second', 10,
    1, 1, 1, 0, 0, 0, 0
FROM generate_series(1, 20000) AS i
"""


async def test_a_page_is_read_from_the_index_of_its_order(upgraded_url: str) -> None:
    connection = await asyncpg.connect(upgraded_url)
    await connection.execute(FILL, RETRIED)
    await connection.execute("ANALYZE replays")
    await connection.close()
    engine = engine_of(settings_of(upgraded_url))
    try:
        plans = await plans_of(
            engine,
            lambda db: jobs_of(db, RETRIED, list(KINDS), limit=26),
            organization_id=RETRIED,
        )
    finally:
        await engine.dispose()
    found = [plan for plan in plans if "replays" in plan]
    assert len(found) == 1
    assert "jobs_of_organization" in found[0], found[0]
