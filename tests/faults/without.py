"""Our processes with one mechanism taken out: the controls of the faults that this mechanism protects from.

`python -m tests.faults.without MECHANISM ARGUMENT…` runs `hookline ARGUMENT…` without it. Each replaces one function of
ours before anything runs; a name that is not there any more fails at once, and then the control is to be thought over.
`python -m tests.faults.without new-release TOPIC FILE worker` is the next release, which reads one topic more and notes
which partitions of it it was given records of.
"""

import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final


def reports() -> None:
    """The API answers 202 at once, before Kafka has the event, and batches for half a second as fast producers do."""
    from api.events import publishing
    from producers import records as producer_module

    make = producer_module.RecordProducer

    def batching(*arguments: Any, **settings: Any) -> Any:
        return make(*arguments, **{**settings, "linger_ms": 500})

    async def publish_all(self: Any, events: Any) -> Any:
        self.begin(events)
        return [None] * len(events)

    _replace(publishing, "RecordProducer", batching)
    _replace(publishing.EventPublishing, "publish_all", publish_all)


def all_copies() -> None:
    """Whatever is produced counts as published when one broker has it, not when all that are in sync do."""
    import confluent_kafka

    from producers import records

    make = confluent_kafka.Producer

    def of_one(config: dict[str, Any], *arguments: Any) -> Any:
        return make({**config, "acks": "1", "enable.idempotence": False}, *arguments)

    _replace(records, "Producer", of_one)


def waiting() -> None:
    """The mover moves a record on as soon as it has read it."""
    from processors import mover

    read = mover.Mover._waiting

    def overdue(self: Any, *arguments: Any) -> Any:
        waiting = read(self, *arguments)
        waiting.at = waiting.due_at = 0.0
        return waiting

    _replace(mover.Mover, "_waiting", overdue)


def positions() -> None:
    """The projector's position is where it read, not where it wrote: on a restart it begins ten records further on."""
    from api.projection import positions as of_positions
    from api.projection import writing

    written = of_positions.positions_of

    async def read(*arguments: Any) -> Any:
        return {place: offset + 10 * (offset > 0) for place, offset in (await written(*arguments)).items()}

    async def move_on(connection: Any, moves: Any) -> None:
        for move in moves:
            await connection.execute(
                "UPDATE log_positions SET next_offset = $1 WHERE topic = $2 AND partition = $3",
                *(move.upto, move.topic, move.partition),
            )

    _replace(writing, "positions_of", read)
    _replace(writing, "move_on", move_on)


def topics_in_names() -> None:
    """A worker's static member is named by its slot alone, whatever topics it reads (FAUST.md, F17)."""
    from processors import app

    _replace(app, "instance_id", lambda settings, *_: f"{settings.worker_group}-{settings.worker_slot}")


def body_cap() -> None:
    """Of an answer's body 16 MB are read, not 64 KB; all of a gigabyte would cost the machine, not show more."""
    from processors import exchange

    _replace(exchange, "MOST_BODY_BYTES", 16 * 1024 * 1024)


def cursors() -> None:
    """What is behind counts as durable although its cursor was not written."""
    from processors.lanes import cursor_log

    async def save(*_: Any) -> bool:
        return True

    _replace(cursor_log.CursorLog, "save", save)


def going_behind() -> None:
    """A subscription that is paused, slow or full stays live: its records hold their partition."""
    from processors.lanes import standing

    _replace(standing.Standing, "go_behind", lambda *_: None)


def outbox_marks() -> None:
    """A service's relay marks rows as sent when it takes them, before Kafka has them."""
    from contextlib import asynccontextmanager

    from producers import event_outbox

    take = event_outbox.Shared.batch

    @asynccontextmanager
    async def marked(self: Any, connection: Any, aside: Any) -> Any:
        async with take(self, connection, aside) as rows:
            await self.finish(connection, rows)
        yield rows

    _replace(event_outbox.Shared, "batch", marked)


def nothing() -> None:
    """Leave everything as it is."""


def read_one_more(topic: str, file: str) -> None:
    """Make the worker one that reads `topic` too, under a name that says so where names do."""
    from processors import app as of_faust
    from processors import worker

    new_app, name = of_faust.new_app, of_faust.instance_id

    def with_one_more(settings: Any, kafka: Any) -> Any:
        app = new_app(settings, kafka)

        async def note(stream: Any) -> None:
            async for event in stream.events():
                await asyncio.to_thread(_append, Path(file), f"{event.message.partition} {os.getpid()}\n")

        app.agent(of_faust.raw_topic(app, topic, settings.partitions), name="one-more")(note)
        return app

    _replace(worker, "new_app", with_one_more)
    _replace(of_faust, "instance_id", lambda settings, *_: name(settings, (*of_faust.TOPICS, topic)))


MECHANISMS: Final[dict[str, Callable[[], None]]] = {
    "reports": reports,
    "all-copies": all_copies,
    "waiting": waiting,
    "positions": positions,
    "topics-in-names": topics_in_names,
    "body-cap": body_cap,
    "cursors": cursors,
    "going-behind": going_behind,
    "outbox-marks": outbox_marks,
    "nothing": nothing,
}


def command_without(mechanism: str, *arguments: str, new_release: tuple[str, Path] | None = None) -> Sequence[str]:
    """Return the command line of a process without a mechanism, in its next release if one is given (topic, file)."""
    argv = [sys.executable, "-m", "tests.faults.without", mechanism]
    if new_release is not None:
        argv += ["new-release", new_release[0], str(new_release[1])]
    return [*argv, *arguments]


def _append(file: Path, line: str) -> None:
    with file.open("a") as out:
        out.write(line)


def _replace(where: Any, name: str, by: object) -> None:
    getattr(where, name)  # raises when it is called otherwise today
    setattr(where, name, by)


def main() -> None:
    """Take it out, then be the `hookline` command."""
    from compose.command import main as hookline

    mechanism, *arguments = sys.argv[1:]
    MECHANISMS[mechanism]()
    if arguments[0] == "new-release":
        _, topic, file, *arguments = arguments
        read_one_more(topic, file)
    sys.argv = ["hookline", *arguments]
    hookline()


if __name__ == "__main__":
    main()
