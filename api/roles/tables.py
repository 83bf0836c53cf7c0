"""The table of an organization's own roles; built-in ones are in `api/permissions.py`. No query here commits."""

from datetime import datetime

from sqlalchemy import Index, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from api.columns import ID, MOMENT, TEXTS, of_organization
from api.database import Base


class RoleRow(Base):
    """A role of an organization's own; names are unique in it, whatever their case."""

    __tablename__ = "roles"

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    organization_id: Mapped[str] = of_organization()
    version: Mapped[int]
    name: Mapped[str] = mapped_column(Text)
    description: Mapped[str | None] = mapped_column(Text)
    permissions: Mapped[list[str]] = mapped_column(TEXTS)
    created_at: Mapped[datetime] = mapped_column(MOMENT)
    updated_at: Mapped[datetime] = mapped_column(MOMENT)


Index("roles_by_name", RoleRow.organization_id, func.lower(RoleRow.name), unique=True)
