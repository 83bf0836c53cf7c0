"""What the receiver wrote down, read while it goes on; and starting it."""

import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import httpx
import orjson

from compose.children import start_child
from tests.faults.receiver import BEHAVE, Behaviour

Pair = tuple[str, str]
"""An event's id and the path of a subscription: what one delivery is about."""

_START_WITHIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request: `at` in seconds since 1970, the how-manieth of this webhook to this path it was (`times`, from 1).

    `status` is what it was answered, 0 when it was not (yet); `replay` the replay that sent it or ""; `sequence` what
    orders the deliveries of one key, None without an `ordering`.
    """

    at: float
    path: str
    event_id: str
    replay: str
    times: int
    status: int
    sequence: int | None = None

    @property
    def pair(self) -> Pair:
        """Return which delivery it is of."""
        return self.event_id, self.path

    @property
    def is_taken(self) -> bool:
        """Return whether the receiver took it, with a 2xx."""
        return 200 <= self.status < 300


class Received:
    """A receiver's file of arrivals, and how its paths behave."""

    def __init__(self, url: str, file: Path) -> None:
        self.url = url
        self._file = file
        self._read_to = 0
        self._rest = b""
        self.arrivals: list[Arrival] = []
        self.taken: dict[Pair, float] = {}
        """When each delivery was taken first, replays not counted."""
        self.taken_by_replay: dict[tuple[str, Pair], int] = {}
        self.twice: defaultdict[Pair, int] = defaultdict(int)
        """How often a delivery came again after it had been taken, replays not counted."""

    def behave(self, path: str, behaviour: Behaviour | None = None) -> None:
        """Have a path answer like this from now on; without a behaviour it takes everything at once."""
        body = orjson.dumps({"path": path, **asdict(behaviour or Behaviour())})
        httpx.post(f"{self.url}{BEHAVE}", content=body, trust_env=False).raise_for_status()

    def read(self) -> int:
        """Read what was written since the last time; return how many deliveries have been taken in all."""
        with self._file.open("rb") as file:
            file.seek(self._read_to)
            found = file.read()
        self._read_to += len(found)
        *lines, self._rest = (self._rest + found).split(b"\n")
        for line in lines:
            self._note(orjson.loads(line))
        return len(self.taken)

    def _note(self, entry: dict[str, object]) -> None:
        arrival = Arrival(
            at=float(str(entry["at"])),
            path=str(entry["path"]),
            event_id=str(entry["id"]),
            replay=str(entry["replay"]),
            times=int(str(entry["times"])),
            status=int(str(entry["status"])),
            sequence=int(str(entry["sequence"])) if entry.get("sequence") else None,
        )
        is_late = "late" in entry  # the answer to an arrival that stands here already
        if not is_late:
            self.arrivals.append(arrival)
        if arrival.replay:
            if arrival.is_taken:
                key = (arrival.replay, arrival.pair)
                self.taken_by_replay[key] = self.taken_by_replay.get(key, 0) + 1
        elif arrival.pair in self.taken:
            self.twice[arrival.pair] += not is_late
        elif arrival.is_taken:
            self.taken[arrival.pair] = arrival.at


@contextmanager
def receiving(folder: Path, *, seed: int) -> Iterator[Received]:
    """Run a receiver; it ends with the block, its file stays in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    port_file, arrivals = folder / "port", folder / "arrivals.jsonl"
    arrivals.touch()
    argv: list[str | Path] = [sys.executable, "-m", "tests.faults.receiver", port_file, arrivals, str(seed)]
    child = start_child("receiver", argv, log=folder / "receiver.log", folder=Path(__file__).parents[2])
    try:
        child.wait_until(port_file.exists, within_s=_START_WITHIN_S)
        yield Received(f"http://127.0.0.1:{port_file.read_text()}", arrivals)
    finally:
        child.stop()


def longest_gap_s(times: list[float], *, since: float, until: float) -> float:
    """Return the longest time without an arrival between two moments, both ends included."""
    inside = sorted(at for at in times if since < at < until)
    moments = [since, *inside, until]
    return max(later - earlier for earlier, later in pairwise(moments))


def wait_for(received: Received, count: int, *, within_s: float) -> bool:
    """Return whether so many deliveries have been taken before the time is over."""
    deadline = time.monotonic() + within_s
    while received.read() < count:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
