"""Webhooks as a service on stock Faust would send them, on all of its defaults: the control that loses.

`python -m tests.faults.stock FOLDER PATH…` is started in a worker's place: it reads the events, and posts each to every
path of the receiver whose port is in FOLDER. `concurrency` is what Faust's documentation advises for an agent that
waits for the network; STOCK_CONCURRENCY in the environment is another.
"""

import asyncio
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp
import faust

from schemas.codec import decode
from schemas.records import Event
from schemas.topics import EVENTS

CONCURRENCY = 50
GROUP = "stock-webhooks"
PATHS = tuple(f"/{number}" for number in range(10))


def stock_commands(workers: int, folder: Path, paths: Sequence[str] = PATHS) -> dict[str, Sequence[str | Path]]:
    """Return what a stack starts in place of its workers; `folder` is the run's."""
    argv: tuple[str | Path, ...] = (sys.executable, "-m", "tests.faults.stock", folder / "receiver", *paths)
    return {f"worker-{slot}": argv for slot in range(workers)}


def stock_app(receiver: str, paths: Sequence[str]) -> Any:
    """Return the app; no setting is chosen but where things are, and that it makes no topics of its own."""
    app = faust.App(
        GROUP,
        broker=f"kafka://{os.environ['KAFKA_BOOTSTRAP_SERVERS']}",
        datadir=Path(tempfile.gettempdir()) / f"{GROUP}-{os.getpid()}",
        topic_disable_leader=True,
        web_enabled=False,
    )

    @app.agent(
        app.topic(EVENTS, value_type=bytes, value_serializer="raw"),
        concurrency=int(os.environ.get("STOCK_CONCURRENCY", CONCURRENCY)),
    )
    async def deliver(stream):  # type: ignore[no-untyped-def]  # as its documentation writes it
        async with aiohttp.ClientSession() as session:
            async for value in stream:
                event = decode(Event, value)

                async def post(path: str, event: Event = event) -> None:
                    headers = {"webhook-id": event.id}
                    async with session.post(f"{receiver}{path}", data=event.data, headers=headers) as answer:
                        answer.raise_for_status()

                await asyncio.gather(*(post(path) for path in paths))

    @app.task  # type: ignore[untyped-decorator]  # Faust has no types
    async def say_ready() -> None:
        await asyncio.to_thread(Path(os.environ["HOOKLINE_READY_FILE"]).write_text, f"{os.getpid()}\n")

    return app


if __name__ == "__main__":
    _, of_receiver, *to = sys.argv
    port = Path(of_receiver, "port").read_text()
    sys.argv = ["faust", "worker", "--without-web", "-l", "warn"]
    stock_app(f"http://127.0.0.1:{port}", to).main()
