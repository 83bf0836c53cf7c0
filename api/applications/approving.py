"""Whether an organization's users may use an application: its own, or another's that was approved.

An organization may set that others' need no approval (`applications_need_approval`); they do unless it says so.
"""

from sqlalchemy import and_, select
from sqlalchemy.ext.asyncio import AsyncSession

from api.applications.tables import ApplicationRow, ApprovalRow
from api.organizations.preferences import OrganizationSettings
from api.organizations.tables import OrganizationRow


async def may_use(db: AsyncSession, application: ApplicationRow, organization_id: str) -> bool:
    """Return whether an organization's users may use an application. One that is disabled may be used by nobody."""
    if not application.enabled:
        return False
    if application.organization_id == organization_id:
        return True
    wanted = select(OrganizationRow.settings, ApprovalRow.created_at).outerjoin(
        ApprovalRow,
        and_(ApprovalRow.organization_id == OrganizationRow.id, ApprovalRow.application_id == application.id),
    )
    found = (await db.execute(wanted.where(OrganizationRow.id == organization_id))).one_or_none()
    if found is None:
        return False
    return found.created_at is not None or not OrganizationSettings.kept(found.settings).applications_need_approval
