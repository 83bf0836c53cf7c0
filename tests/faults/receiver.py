"""A receiver that has written down what arrived, fsync included, before it answers; a process of its own.

`python -m tests.faults.receiver PORT_FILE ARRIVALS SEED` serves on a free port of 127.0.0.1 and appends a JSON line to
ARRIVALS for each webhook (tests/faults/arrivals.py reads them). One fsync at a time serves all that came meanwhile.
`POST /_/behave` changes how a path answers; by chance it is decided from the seed, the path, the webhook and how
often it came, so that the order of arrivals does not matter.
"""

import asyncio
import os
import random
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import orjson
import uvloop

from bench.receiver import Requests, header

BEHAVE: Final = "/_/behave"
Json = dict[str, str | int | float]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How a path answers: with `status`, `hang_s` late, and with 503 to the first so many arrivals or to a share.

    `fail_first` counts the arrivals of one webhook, of a share `of` of them; `hang_share` and `fail_share` are
    probabilities, drawn for each arrival; what has `fail_text` in it fails always.
    """

    status: int = 204
    hang_s: float = 0.0
    hang_share: float = 1.0
    fail_first: int = 0
    of: float = 1.0
    fail_share: float = 0.0
    fail_text: str = ""


class Journal:
    """Appends lines to a file and calls back when they are on the disk."""

    def __init__(self, file: Path) -> None:
        self._file = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._lines: list[bytes] = []
        self._waiting: list[Callable[[], None]] = []
        self._writing: asyncio.Task[None] | None = None

    def note(self, entry: Json, then: Callable[[], None]) -> None:
        """Write an entry and call `then` once it is kept."""
        self._lines.append(orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE))
        self._waiting.append(then)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())

    async def _write(self) -> None:
        while self._lines:
            lines, waiting = b"".join(self._lines), self._waiting
            self._lines, self._waiting = [], []
            await asyncio.to_thread(self._keep, lines)
            for then in waiting:
                then()

    def _keep(self, lines: bytes) -> None:
        while lines:
            lines = lines[os.write(self._file, lines) :]
        os.fsync(self._file)


class Endpoints:
    """All paths: how each behaves, and how often each webhook came to it."""

    def __init__(self, journal: Journal, seed: str) -> None:
        self.journal = journal
        self._seed = seed
        self._behaviours: defaultdict[str, Behaviour] = defaultdict(Behaviour)
        self._times: defaultdict[tuple[str, str, str], int] = defaultdict(int)

    def behave(self, asked: bytes) -> None:
        """Change a path, from JSON with `path` and the fields of a Behaviour; the others take their defaults."""
        fields = orjson.loads(asked)
        path = fields.pop("path")
        self._behaviours[path] = Behaviour(**fields)

    def arrived(self, path: str, webhook_id: str, replay: str, body: bytes) -> tuple[int, int, float]:
        """Return how often it has come, with this time, with which status it is answered, and how late (seconds)."""
        self._times[path, webhook_id, replay] += 1
        times = self._times[path, webhook_id, replay]
        how = self._behaviours[path]
        chance = random.Random(f"{self._seed}|{path}|{webhook_id}|{replay}|{times}")
        fails = (
            chance.random() < how.fail_share
            or (how.fail_text and how.fail_text.encode() in body)
            or (times <= how.fail_first and random.Random(f"{self._seed}|{path}|{webhook_id}").random() < how.of)
        )
        hangs = chance.random() < how.hang_share
        return times, 503 if fails else how.status, how.hang_s if hangs else 0.0


class Webhooks(Requests):
    """One connection of a worker's."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints

    def answer(self, head: bytes, body: bytes) -> None:
        """Note the webhook, then answer it; or answer late, as its path behaves."""
        path = head.split(b" ", 2)[1].decode()
        if path == BEHAVE:
            self._endpoints.behave(body)
            self._send(204)
            return
        webhook_id, replay, sent, sequence = (
            (header(head, name) or b"").decode()
            for name in (b"webhook-id", b"hookline-replay", b"webhook-timestamp", b"hookline-sequence")
        )
        times, status, hang_s = self._endpoints.arrived(path, webhook_id, replay, body)
        entry: Json = {"at": time.time(), "path": path, "id": webhook_id, "replay": replay, "times": times,
                       "sent": sent, "sequence": sequence, "bytes": len(body), "status": status}  # fmt: skip
        if hang_s:
            self._endpoints.journal.note({**entry, "status": 0}, lambda: None)
            asyncio.get_running_loop().call_later(hang_s, self._late, entry)
        else:
            self._endpoints.journal.note(entry, partial(self._send, status))

    def _late(self, entry: Json) -> None:
        if not self._transport.is_closing():
            self._endpoints.journal.note({**entry, "late": 1}, partial(self._send, int(entry["status"])))

    def _send(self, status: int) -> None:
        if not self._transport.is_closing():
            self._transport.write(
                b"HTTP/1.1 %d Answer\r\n%s\r\n" % (status, b"" if status == 204 else b"Content-Length: 0\r\n")
            )


async def _serve(port_file: Path, arrivals: Path, seed: str) -> None:
    endpoints = Endpoints(Journal(arrivals), seed)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Webhooks(endpoints), "127.0.0.1", 0, backlog=4096)
    draft = port_file.with_suffix(".new")
    draft.write_text(str(server.sockets[0].getsockname()[1]))
    draft.replace(port_file)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))
