"""Kinds of columns that tables share."""

from typing import Final

from sqlalchemy import DateTime, ForeignKey, LargeBinary, Text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import MappedColumn, mapped_column

ID: Final = Text(collation="C")  # ids are compared byte by byte, as they are ordered
MOMENT: Final = DateTime(timezone=True)
TEXTS: Final = ARRAY(Text)
BYTES: Final = LargeBinary


def of_organization(**options: object) -> MappedColumn[str]:
    """Return the column of the organization that a row belongs to; it goes with it."""
    return mapped_column(ID, ForeignKey("organizations.id", ondelete="CASCADE"), **options)  # type: ignore[arg-type] # passed on
