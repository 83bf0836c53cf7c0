"""The table of organizations. No query here commits."""

from datetime import datetime

from sqlalchemy import Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from api.columns import ID, MOMENT
from api.database import Base
from schemas.json_values import Json


class OrganizationRow(Base):
    """A tenant. Its branding is shown on the consent page; `limits` are requests a window, by `RateClass`."""

    __tablename__ = "organizations"

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    version: Mapped[int]
    name: Mapped[str] = mapped_column(Text)
    display_name: Mapped[str | None] = mapped_column(Text, comment="on the consent page; null: the name")
    logo_url: Mapped[str | None] = mapped_column(Text)
    primary_color: Mapped[str | None] = mapped_column(Text, comment="#rrggbb")
    accent_color: Mapped[str | None] = mapped_column(Text, comment="#rrggbb")
    settings: Mapped[dict[str, Json]] = mapped_column(JSONB, server_default="{}")
    limits: Mapped[dict[str, int]] = mapped_column(JSONB, server_default="{}", comment="missing ones: the default")
    created_at: Mapped[datetime] = mapped_column(MOMENT)
    updated_at: Mapped[datetime] = mapped_column(MOMENT)
