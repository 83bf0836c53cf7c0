"""The publisher of a FastAPI service: made when the application starts, given to routes that ask for it.

app = FastAPI(lifespan=publishing(source="/billing"))

@app.post("/users")
async def create_user(body: NewUser, publisher: Events) -> User: ...

Needs the extra `fastapi`; nothing else of ours imports it.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Annotated, Any, Final

from fastapi import Depends, FastAPI, Request

from producers.async_publisher import AsyncPublisher

_STATE: Final = "hookline_publisher"  # in the application's lifespan state

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[Any]]


def publishing(
    bootstrap_servers: str | None = None, *, source: str, lifespan: Lifespan | None = None, **options: Any
) -> Callable[[FastAPI], AbstractAsyncContextManager[dict[str, Any]]]:
    """Return a lifespan that opens an AsyncPublisher with the application, around the service's own `lifespan` if any.

    `options` are AsyncPublisher's. Closing waits for what is on its way, 10 s at most.
    """

    @asynccontextmanager
    async def with_publisher(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        async with AsyncExitStack() as opened:
            publisher = await opened.enter_async_context(AsyncPublisher(bootstrap_servers, source=source, **options))
            own = None if lifespan is None else await opened.enter_async_context(lifespan(app))
            yield {**(own or {}), _STATE: publisher}

    return with_publisher


def publisher_of(request: Request) -> AsyncPublisher:
    """Return the application's publisher; raises RuntimeError when its lifespan is not `publishing`'s."""
    publisher = getattr(request.state, _STATE, None)
    if not isinstance(publisher, AsyncPublisher):
        raise RuntimeError("no publisher: give the application lifespan=publishing(…) of producers.fastapi")
    return publisher


Events = Annotated[AsyncPublisher, Depends(publisher_of)]
