"""Records that nobody can read, put on the topics that workers read, and how the quarantine must show them."""

import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Final, Self, cast

from confluent_kafka import KafkaError, Message, Producer

from schemas.codec import encode
from schemas.headers import Headers
from schemas.topics import DELIVER, EVENTS, PARTITIONER, QUARANTINE
from tests.faults.remaining import Topics
from tests.processors import made

CODECS: Final = ("none", "gzip", "snappy", "lz4", "zstd")
_MEGABYTE: Final = 1024 * 1024 - 64  # the brokers count the framing too
_WHY: Final = "__connect.errors."  # what the quarantine adds (schemas/headers.py)
_FLUSH_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Poison:
    """A record as it was produced."""

    kind: str
    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


Place = tuple[str, int, int]
Make = Callable[[random.Random], tuple[bytes | None, Headers]]


def _event() -> bytes:
    return encode(made.event())


def _truncated(chance: random.Random) -> tuple[bytes, Headers]:
    whole = _event()
    return whole[: chance.randrange(11, len(whole) - 1)], []


def _bad_avro(chance: random.Random) -> tuple[bytes, Headers]:
    return _event()[:10] + b"\xff" * chance.randrange(20, 200), []


def _unknown_schema(chance: random.Random) -> tuple[bytes, Headers]:
    return b"\xc3\x01" + chance.randbytes(8) + _event()[10:], []


def _bad_headers(chance: random.Random) -> tuple[bytes, Headers]:
    many = [(f"x-{number}", chance.randbytes(30)) for number in range(50)]
    ours = [("hookline_organization", b"\xff\xfe"), ("traceparent", b"\x00" * 55), ("hookline_finished", b"|||")]
    return chance.randbytes(100), [*ours, *ours, *many, ("", b"no name"), ("\u202e", b"")]


KINDS: Final[dict[str, Make]] = {
    "bad Avro": _bad_avro,
    "truncated": _truncated,
    "tombstone": lambda _: (None, []),
    "empty": lambda _: (b"", []),
    "unknown schema": _unknown_schema,
    "1 MB": lambda chance: (chance.randbytes(1024) * (_MEGABYTE // 1024), []),
    "bad headers": _bad_headers,
    "JSON": lambda _: (b'{"id":"evt_1","type":"user.created"}', []),
}
_RARE: Final = {"1 MB": 20}  # one in so many turns: a gigabyte of it would measure the disk


def poisons(seed: int) -> "itertools.chain[tuple[str, Poison]]":
    """Return poison without end, of every kind and codec in turn: (codec, record)."""
    chance = random.Random(seed)

    def drawn() -> "itertools.chain[tuple[str, Poison]]":
        return itertools.chain.from_iterable(turn(number) for number in itertools.count())

    def turn(number: int) -> list[tuple[str, Poison]]:
        found = []
        for place, (kind, make) in enumerate(KINDS.items()):
            if number % _RARE.get(kind, 1):
                continue
            value, headers = make(chance)
            topic = DELIVER if (number + place) % 4 == 3 else EVENTS
            key = chance.choice([None, b"", chance.randbytes(16), b"org_1"])
            codec = CODECS[(number + place) % len(CODECS)]
            found.append((codec, Poison(kind, topic, key, value, tuple(headers))))
        return found

    return drawn()


class Poisoning:
    """Produces poison at a steady rate while it is entered, and good records' neighbours of every codec.

    `given` has what the brokers acknowledged, by where it stands.
    """

    def __init__(self, bootstrap: str, *, per_s: float, seed: int) -> None:
        self._every_s = 1 / per_s
        self._poisons = poisons(seed)
        self._producers = {codec: _producer(bootstrap, codec) for codec in CODECS}
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.given: dict[Place, Poison] = {}

    def __enter__(self) -> Self:
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name="poison", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._thread is not None
        self._stopping.set()
        self._thread.join()
        for producer in self._producers.values():
            assert producer.flush(_FLUSH_S) == 0

    def kinds(self) -> Counter[str]:
        """Return how many of each kind there were."""
        return Counter(poison.kind for poison in self.given.values())

    def _run(self) -> None:
        began, number = time.monotonic(), 0
        while not self._stopping.wait(max(0.0, began + number * self._every_s - time.monotonic())):
            number += 1
            codec, poison = next(self._poisons)
            producer = self._producers[codec]
            producer.produce(
                poison.topic,
                poison.value,
                poison.key,
                headers=list(poison.headers),
                on_delivery=self._noting(poison),
            )
            producer.poll(0)

    def _noting(self, poison: Poison) -> Callable[[KafkaError | None, Message], None]:
        def note(error: KafkaError | None, message: Message) -> None:
            assert error is None, error
            place = (poison.topic, cast(int, message.partition()), cast(int, message.offset()))
            self.given[place] = poison

        return note


def _producer(bootstrap: str, codec: str) -> Producer:
    return Producer(
        {
            "bootstrap.servers": bootstrap,
            "compression.codec": codec,
            "partitioner": PARTITIONER,
            "message.max.bytes": 2 * 1024 * 1024,
            "log_level": 0,
        }
    )


@dataclass(frozen=True)
class Quarantined:
    """What became of poison in the quarantine."""

    whole: int
    altered: int
    again: int
    missing: tuple[Poison, ...]


def quarantined(bootstrap: str, given: dict[Place, Poison]) -> Quarantined:
    """Return how many of `given` stand in the quarantine as they were produced, and how many do not."""
    found: Counter[Place] = Counter()
    altered = 0
    for message in Topics(bootstrap).read(QUARANTINE):
        headers = cast(list[tuple[str, bytes]], message.headers() or [])
        place, own = _where_from(headers)
        if (poison := given.get(place)) is None:
            continue
        found[place] += 1
        shown = replace(poison, key=message.key(), value=message.value(), headers=tuple(own))
        altered += shown != poison
    missing = tuple(poison for place, poison in given.items() if place not in found)
    return Quarantined(len(found) - altered, altered, found.total() - len(found), missing)


def _where_from(headers: Sequence[tuple[str, bytes]]) -> tuple[Place, list[tuple[str, bytes]]]:
    """Return where a quarantined record came from, and its own headers."""
    why = {name: value for name, value in headers if name.startswith(_WHY)}
    place = (
        why.get(f"{_WHY}topic", b"").decode(),
        int(why.get(f"{_WHY}partition", b"-1")),
        int(why.get(f"{_WHY}offset", b"-1")),
    )
    return place, [(name, value) for name, value in headers if not name.startswith(_WHY)]
