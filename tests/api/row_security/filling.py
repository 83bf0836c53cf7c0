"""A row of an organization's in every table: made from the tables themselves, so that a new one needs no line here."""

from datetime import UTC, date, datetime
from ipaddress import ip_network
from typing import Any, Final

import asyncpg
from sqlalchemy import Column, Table
from sqlalchemy.dialects import postgresql

from api import tables
from producers.outbox import metadata as outbox_metadata

TABLES: Final[dict[str, Table]] = {
    table.name: table
    for metadata in (tables.metadata, outbox_metadata)
    for table in metadata.sorted_tables  # what is referred to comes first
}
NOW: Final = datetime.now(UTC)
_DIALECT: Final = postgresql.dialect()  # type: ignore[no-untyped-call] # SQLAlchemy's own
_BY_TYPE: Final[dict[str, Any]] = {
    "TEXT": "x", "BIGINT": 1, "INTEGER": 1, "BOOLEAN": False, "BYTEA": b"\x00", "TIMESTAMP WITH TIME ZONE": NOW,
    "JSONB": "{}", "DOUBLE PRECISION": 1.0, "DATE": date(2026, 1, 1), "FLOAT": 1.0, "CIDR": ip_network("10.0.0.0/8"),
}  # fmt: skip


async def fill(url: str, organization_id: str) -> None:
    """Write one row of an organization into every table, as the owner."""
    connection = await asyncpg.connect(url)
    for table in TABLES.values():
        columns, values = row_of(table, organization_id)
        places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
        await connection.execute(f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({places})", *values)
    await connection.close()


def row_of(table: Table, organization_id: str) -> tuple[list[str], list[Any]]:
    """Return the columns and values of an organization's row; what it refers to is the same organization's."""
    wanted = [column for column in table.columns if not column.nullable and column.identity is None]
    return [f'"{column.name}"' for column in wanted], [_value_of(table, column, organization_id) for column in wanted]


def _value_of(table: Table, column: Column[Any], organization_id: str) -> Any:
    if column.name == "organization_id" or (table.name, column.name) == ("organizations", "id"):
        return organization_id
    kind = str(column.type.compile(dialect=_DIALECT)).partition(" COLLATE")[0]
    if kind.endswith("[]"):
        return []
    value = _BY_TYPE[kind]
    # Ids and what else is unique: of the organization, and the same wherever they refer to each other.
    if isinstance(value, str) and value == "x":
        return f"x-{organization_id}"
    if isinstance(value, bytes):
        return organization_id.encode()
    if isinstance(value, int) and column.primary_key:
        return hash(organization_id) % 1_000_000
    return value
