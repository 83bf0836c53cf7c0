"""What an organization sets is acted by: whether other organizations' applications need an approval."""

import pytest
from sqlalchemy import select

from api.applications.approving import may_use
from api.applications.tables import ApplicationRow
from api.database import transaction_of
from api.organizations.preferences import OrganizationSettings
from schemas.json_values import Json
from tests.api.members.acting import World, rows_of

pytestmark = pytest.mark.postgres
_APPLICATION = """INSERT INTO applications (id, organization_id, version, name, kind, redirect_uris, scopes, grants,
                                            requires_pkce, signing_algorithm, enabled, created_by, created_at,
                                            updated_at)
                  VALUES ($1, $2, 1, 'App', 'public', '{}', '{}', '{}', true, 'EdDSA', true, '', now(), now())"""


async def is_used(world: World, application_id: str, organization_id: str) -> bool:
    async with transaction_of(world.app.state.engine) as db:
        wanted = select(ApplicationRow).where(ApplicationRow.id == application_id)
        return await may_use(db, (await db.execute(wanted)).scalar_one(), organization_id)


async def test_others_applications_need_an_approval_unless_the_organization_says_otherwise(world: World) -> None:
    elsewhere = await world.another_organization()
    application_id = f"app_{elsewhere}"
    await rows_of(world.url, _APPLICATION, application_id, elsewhere)
    assert not await is_used(world, application_id, world.organization_id)
    assert await is_used(world, application_id, elsewhere)
    for needed in (False, True):
        settings = {"settings": {"applications_need_approval": needed}}
        changed = await world.admin.patch(f"/api/v1/organizations/{world.organization_id}", json=settings)
        assert changed.status_code == 200
        assert await is_used(world, application_id, world.organization_id) is not needed
    await rows_of(
        world.url,
        "INSERT INTO application_approvals (organization_id, application_id, approved_by, created_at) "
        "VALUES ($1, $2, '', now())",
        world.organization_id,
        application_id,
    )
    assert await is_used(world, application_id, world.organization_id)
    assert not await is_used(world, application_id, "org_nowhere")
    await rows_of(world.url, "UPDATE applications SET enabled = false WHERE id = $1", application_id)
    assert not await is_used(world, application_id, elsewhere)


@pytest.mark.parametrize(
    ("kept", "needs_approval"),
    [({}, True), ({"applications_need_approval": False}, False), ({"of_another_release": [1]}, True)],
)
def test_settings_that_this_release_does_not_know_change_nothing(kept: dict[str, Json], needs_approval: bool) -> None:
    assert OrganizationSettings.kept(kept).applications_need_approval is needs_approval
