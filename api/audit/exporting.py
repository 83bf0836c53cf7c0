"""The audit log as one file, CSV (RFC 4180) or JSON lines (https://jsonlines.org/), written while it is read.

Each batch has a transaction of its own, so that neither a slow reader nor a long log holds one open or fills memory.
"""

import csv
import io
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import orjson
from sqlalchemy.ext.asyncio import AsyncEngine

from api.audit.bodies import shown
from api.audit.reading import Wanted, oldest_entries
from api.audit.tables import AuditRow
from api.database import tenant_transaction_of
from api.errors import Flaw, InvalidRequest
from schemas.ids import OrganizationId

LONGEST_SPAN: Final = timedelta(days=366)  # a year, whichever; ask twice for two
USUAL_SPAN: Final = timedelta(days=30)
_BATCH: Final = 1000  # entries, 1 MB or so
_COLUMNS: Final = (
    "id", "at", "actor_kind", "actor_id", "actor_name", "application_id", "action", "target_kind", "target_id",
    "changes", "address", "user_agent", "request_id",
)  # fmt: skip
# What makes a cell a formula, at its beginning, in a spreadsheet: names and user agents are anybody's to choose
# (https://owasp.org/www-community/attacks/CSV_Injection). The wide ones are taken for the others there.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


class ExportFormat(StrEnum):
    """How the file is written."""

    CSV = "csv"
    JSONL = "jsonl"


MEDIA_TYPES: Final = {ExportFormat.CSV: "text/csv; charset=utf-8", ExportFormat.JSONL: "application/x-ndjson"}


def span_of(since: datetime | None, until: datetime | None, *, now: datetime) -> tuple[datetime, datetime]:
    """Return the span that is exported: up to now, the 30 days before its end, unless said otherwise.

    Raises InvalidRequest for one that is longer than a year.
    """
    end = now if until is None else until
    if since is None:
        since = end - min(USUAL_SPAN, end - datetime.min.replace(tzinfo=end.tzinfo))
    if end - since > LONGEST_SPAN:
        flaw = Flaw(f"is more than {LONGEST_SPAN.days} days before `until`: export year by year", parameter="since")
        raise InvalidRequest(f"since: {flaw.detail}", flaws=[flaw])
    return since, end


async def exported(
    engine: AsyncEngine, organization_id: OrganizationId, wanted: Wanted, written: ExportFormat
) -> AsyncIterator[bytes]:
    """Yield the file of an organization's entries, oldest first. Raises DatabaseAway, which ends it too early."""
    as_bytes: Callable[[Sequence[AuditRow]], bytes] = _csv if written is ExportFormat.CSV else _jsonl
    if written is ExportFormat.CSV:
        yield _rows([_COLUMNS])
    after, is_more = "", True
    while is_more:
        async with tenant_transaction_of(engine, organization_id) as db:
            rows = await oldest_entries(db, organization_id, wanted, after=after, limit=_BATCH)
        if rows:
            yield as_bytes(rows)
            after = rows[-1].id
        is_more = len(rows) == _BATCH


def _jsonl(rows: Sequence[AuditRow]) -> bytes:
    return b"".join(shown(row).model_dump_json().encode() + b"\n" for row in rows)


def _csv(rows: Sequence[AuditRow]) -> bytes:
    return _rows([[_cell(_value(row, column)) for column in _COLUMNS] for row in rows])


def _rows(rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()


def _value(row: AuditRow, column: str) -> str:
    value = getattr(row, column)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return orjson.dumps(value).decode()
    return "" if value is None else str(value)


def _cell(text: str) -> str:
    """Return a cell that a spreadsheet takes for text: an apostrophe goes before what it would compute."""
    return f"'{text}" if text.startswith(_FORMULA) else text
