"""A POST with an `Idempotency-Key` is done once; who sends it again gets the answer of the first.

The key is claimed in a short transaction of its own, so that a second one sees it at once. The answer is written in the
transaction of the change that it tells of: either both are there or neither is, wherever a process is killed.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime

import structlog
from fastapi import Request, Response
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from api.database import DatabaseAway, RequestTransaction, tenant_transaction_of
from api.errors import Conflict, Flaw, InvalidRequest
from api.idempotency import tables
from api.idempotency.answers import Answer, answer_of, opened
from api.idempotency.keys import KEY_HEADER, KeyedPost, keyed_post
from api.idempotency.tables import IdempotencyRow
from schemas.sealing import Sealer, SealingError

log = structlog.get_logger("api.idempotency")

Run = Callable[[Request], Awaitable[Response]]


class Repeats:
    """Answers POSTs that name a key."""

    def __init__(self, engine: AsyncEngine, sealer: Sealer) -> None:
        self._engine = engine
        self._sealer = sealer
        self._secret = sealer.derived("idempotency")[0]  # after a rotation what came before is another request

    async def answered(self, request: Request, body: bytes, run: Run) -> Response:
        """Return what `run` answers, or what it answered when the key came first.

        What was refused or failed is not kept: nothing was changed, and the key is free again. Raises InvalidRequest
        for a key that is none or that came with another request, Conflict while the first is under way.
        """
        post = keyed_post(request, body, secret=self._secret)
        async with tenant_transaction_of(self._engine, post.organization_id) as db:
            claimed = await tables.claimed_at(db, post)
            kept = None if claimed is not None else await tables.kept_of(db, post)
        if claimed is None:
            return self._told_before(post, kept).repeated()
        try:
            async with RequestTransaction(request) as transaction:
                response = await run(request)
                if response.status_code < 500:
                    await self._keep(post, claimed, answer_of(response), await transaction.session())
                    return response
        except BaseException:  # cancelled too: the claim must not outlive its request
            await self._release(post, claimed)
            raise
        await self._release(post, claimed)
        return response

    def _told_before(self, post: KeyedPost, kept: IdempotencyRow | None) -> Answer:
        if kept is not None and kept.fingerprint != post.fingerprint:
            flaw = Flaw("was used for another request; take a new one", header=KEY_HEADER)
            raise InvalidRequest(f"{KEY_HEADER}: {flaw.detail}", flaws=[flaw])
        if kept is None or kept.answer is None or kept.status is None:
            raise Conflict("the first request with this key is under way", headers={"Retry-After": "1"})
        try:
            return opened(kept.answer, kept.status, post, self._sealer)
        except SealingError as error:
            raise Conflict(f"it was done, and its answer cannot be shown again: {error}") from error

    async def _keep(self, post: KeyedPost, claimed: datetime, answer: Answer, db: AsyncSession) -> None:
        sealed = answer.sealed(post, self._sealer)
        if not await tables.keep(db, post, claimed, status=answer.status, answer=sealed):
            raise Conflict("it took too long: another request with this key does it")  # and ours is rolled back

    async def _release(self, post: KeyedPost, claimed: datetime) -> None:
        with suppress(DatabaseAway):  # then it is taken over when it is old enough
            async with tenant_transaction_of(self._engine, post.organization_id) as db:
                await tables.release(db, post, claimed)
