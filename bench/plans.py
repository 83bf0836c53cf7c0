"""What PostgreSQL does for a query function: the statements that it really sends, each with its plan."""

import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from api.database import tenant_transaction_of
from schemas.ids import OrganizationId

_WHOLE_TABLE: Final = re.compile(r"Seq Scan on ((?:events|deliveries|attempts)\w*)")
_FEW_BYTES: Final = 32 * 8192
Ask = Callable[[AsyncSession], Awaitable[object]]


async def plans_of(engine: AsyncEngine, ask: Ask, *, organization_id: OrganizationId) -> list[str]:
    """Return the plan of each statement that `ask` sends, as EXPLAIN prints it, bound as the API's requests are."""
    with _statements_of(engine) as statements:
        async with tenant_transaction_of(engine, organization_id) as db:
            await ask(db)
    plans = []
    async with tenant_transaction_of(engine, organization_id) as db:
        connection = await db.connection()
        for statement, parameters in statements:
            found = await connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)
            plans.append("\n".join(found.scalars()))
    return plans


async def tables_read_whole(engine: AsyncEngine, plans: Sequence[str]) -> set[str]:
    """Return the tables of the log that these plans read from end to end.

    Those of a few pages apart: to read them whole is less work than to look into an index.
    """
    named = {name for plan in plans for name in _WHOLE_TABLE.findall(plan)}
    async with engine.connect() as connection:
        sized = text("SELECT relname FROM pg_class WHERE relname = ANY(:names) AND pg_relation_size(oid) > :few")
        asked = {"names": sorted(named), "few": _FEW_BYTES}
        return set((await connection.execute(sized, asked)).scalars())


@contextmanager
def _statements_of(engine: AsyncEngine) -> Iterator[list[tuple[str, Any]]]:
    sent: list[tuple[str, Any]] = []

    def note(_connection: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        sent.append((statement, parameters))

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(engine.sync_engine, "before_cursor_execute", note)
