"""What several requests ask PostgreSQL at once, asked in one statement for each organization.

Each costs a journey to PostgreSQL and a commit there, whatever is in it; `POST /events` with an id takes two.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from api.errors import Unavailable
from schemas.ids import OrganizationId

Given = TypeVar("Given")
Answer = TypeVar("Answer")
_MOST: Final = 1000  # of a statement: two of the largest batches


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[Given, Answer]):
    given: Sequence[Given]
    answer: asyncio.Future[Answer]


class Gathering(Generic[Given, Answer]):
    """Asks for many: what comes while an organization's statement is under way goes together in its next one.

    Who is alone is asked for at once, and no organization waits for another.
    """

    def __init__(self, ask: Callable[[OrganizationId, Sequence[Given]], Awaitable[Answer]]) -> None:
        """Take what asks; its answer goes to all who asked, so it may say more than one of them wanted."""
        self._ask = ask
        self._waiting: dict[OrganizationId, deque[_Waiting[Given, Answer]]] = {}
        self._under_way: set[asyncio.Task[None]] = set()

    async def ask(self, organization_id: OrganizationId, given: Sequence[Given]) -> Answer:
        """Return the answer of the statement that `given` went into. Raises what it raised."""
        mine: _Waiting[Given, Answer] = _Waiting(given, asyncio.get_running_loop().create_future())
        if (queue := self._waiting.get(organization_id)) is not None:
            queue.append(mine)
        else:
            self._waiting[organization_id] = deque([mine])
            # A task of its own: who asked first may hang up, and the others wait for it too.
            asking = asyncio.create_task(self._ask_for_all(organization_id))
            self._under_way.add(asking)
            asking.add_done_callback(self._under_way.discard)
        return await mine.answer

    async def _ask_for_all(self, organization_id: OrganizationId) -> None:
        queue = self._waiting[organization_id]
        try:
            while queue:
                together, size = [queue.popleft()], 0
                while queue and (size := size + len(together[-1].given)) + len(queue[0].given) <= _MOST:
                    together.append(queue.popleft())
                # Who has hung up meanwhile has let go of its ids: another may have brought the same.
                if still := [asked for asked in together if not asked.answer.done()]:
                    await self._ask_for(organization_id, still)
        finally:
            del self._waiting[organization_id]
            for left in queue:  # none, unless the loop is ending
                left.answer.cancel()

    async def _ask_for(self, organization_id: OrganizationId, together: Sequence[_Waiting[Given, Answer]]) -> None:
        asking = asyncio.ensure_future(self._ask(organization_id, [each for asked in together for each in asked.given]))
        await asyncio.wait({asking})
        error = asking.exception()  # each of them raises it where it waits
        if error is not None and len(together) > 1 and not isinstance(error, Unavailable):
            for asked in together:  # what PostgreSQL refuses of one fails that one
                await self._ask_for(organization_id, [asked])
            return
        for asked in together:
            if asked.answer.done():
                continue
            if error is None:
                asked.answer.set_result(asking.result())
            else:
                asked.answer.set_exception(error)
