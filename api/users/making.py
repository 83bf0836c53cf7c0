"""Making a user: by a route, by an invitation that is accepted."""

from datetime import UTC, datetime

import uuid_utils
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from api.announcing import announce_identity
from api.errors import Conflict
from api.users.addresses import email_key_of
from api.users.tables import UserRow


async def make_user(
    db: AsyncSession, *, organization_id: str, email: str, name: str, password_hash: str | None, verified: bool
) -> UserRow:
    """Return a new user whose home is the organization, which is there; announced as `user.created`.

    `verified`: the address is known to be theirs. Raises InvalidInput when `email` is no address, Conflict when an
    account has it, in whichever organization: an address is one person's.
    """
    now = datetime.now(UTC)
    made = (
        insert(UserRow)
        .values(
            id=f"usr_{uuid_utils.uuid7().hex}",
            organization_id=organization_id,
            version=1,
            email=email,
            email_key=email_key_of(email),
            name=name,
            password_hash=password_hash,
            must_reset=False,
            verified_at=now if verified else None,
            created_at=now,
            updated_at=now,
        )
        .on_conflict_do_nothing()
        .returning(UserRow.id)
    )
    user_id = (await db.execute(made)).scalar_one_or_none()
    if user_id is None:
        raise Conflict("an account has this e-mail address already: invite it as a member instead")
    user = (await db.execute(select(UserRow).where(UserRow.id == user_id))).scalar_one()
    await announce_identity(
        db,
        "user.created",
        organization_id=organization_id,
        subject_id=user.id,
        data={"id": user.id, "email": email, "name": name, "created_at": now.isoformat()},
    )
    return user
