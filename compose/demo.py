"""`hookline demo`: the main job, whole: events in, signed webhooks out, retries, dead letters and their replay."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

import httpx
import orjson
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from rich.console import Console
from rich.live import Live
from rich.table import Table

from compose.mending import replay_dead_letters
from compose.receiver import FAILURES_BEFORE_RECOVERY, Receiver
from compose.stack import Stack
from producers import Publisher
from schemas.codec import decode
from schemas.errors import HooklineError
from schemas.records import DeadLetter
from schemas.topics import DEAD_LETTERS

ORGANIZATION: Final = "org_default"
EVENTS: Final = 40
WAITS: Final = "1s,1s,2s"
ATTEMPTS: Final = 4
_SETTINGS: Final = {
    "HOOKLINE_RETRY_WAITS": WAITS,
    # With waits of seconds every retry comes within the minute that a breaker looks at: the demo shows retries.
    "HOOKLINE_BREAKER_LEAST_ATTEMPTS": "1000000",
    "HOOKLINE_DISABLE_AFTER_EXHAUSTED": "1000",  # ten dead letters in a row would disable it: the demo wants forty
}
_PUBLISH_EVERY_S: Final = 0.05
_WITHIN_S: Final = 45.0
_REFRESH_S: Final = 0.1
_IN_FORCE_WITHIN_S: Final = 2.0


class DemoFailed(HooklineError):
    """Something that had to arrive did not."""


@dataclass(frozen=True, slots=True)
class Result:
    """What the demo saw; durations in milliseconds."""

    events: int
    requests: int
    verified: int
    forged: int
    delivered: int
    retried: int
    dead: int
    replayed: int
    replay_id: str
    replay_state: str
    replay_s: float
    latency_p50_ms: float
    latency_p95_ms: float
    missing: tuple[str, ...]


def run_demo(*, folder: Path, as_json: bool = False) -> None:
    """Run the demo in `folder`, which is emptied first; raises DemoFailed naming what did not arrive.

    Raises FolderInUse, and empties nothing, while a stack runs on it.
    """
    console = Console(stderr=as_json)
    started = time.monotonic()
    stack = Stack(folder, env=_SETTINGS, disposable=True, say=lambda text: console.print(f"  {text}", style="dim"))
    console.print("Starting PostgreSQL, Kafka, the API, the relay, the mover, a worker and the projector …")
    try:
        stack.start()
        result = asyncio.run(_play(stack, console))
    finally:
        stack.stop()
    _show(console, result, time.monotonic() - started)
    if as_json:
        print(orjson.dumps(asdict(result), option=orjson.OPT_INDENT_2).decode())
    if result.missing:
        raise DemoFailed("; ".join(result.missing))


async def _play(stack: Stack, console: Console) -> Result:
    headers = {"Authorization": f"Bearer {stack.admin_token}"}
    async with (
        Receiver() as receiver,
        httpx.AsyncClient(base_url=stack.api_url, headers=headers, trust_env=False) as api,
    ):
        await _subscribe(api, receiver, console)
        letters = await _deliver(stack, receiver, console)
        _show_dead_letter(console, letters)
        result = _result(receiver, letters)
        if result.missing:
            return result
        dead = {str(letter.delivery.event_id) for letter in letters}
        try:
            again = await replay_dead_letters(api, receiver, dead, console)
        except httpx.HTTPError as error:
            return replace(result, missing=(f"the replay: {error}",))
        more = replace(
            _result(receiver, letters),
            replayed=again.arrived,
            replay_id=again.replay_id,
            replay_state=again.state,
            replay_s=again.seconds,
        )
        return replace(more, missing=more.missing + again.missing)


async def _deliver(stack: Stack, receiver: Receiver, console: Console) -> list[DeadLetter]:
    """Publish, and return the dead letters when all has arrived or was given up, or when the time is up."""
    with Publisher(stack.bootstrap_servers, source="/demo") as publisher, Live(console=console) as live:
        publishing = asyncio.create_task(_publish(publisher))
        letters: list[DeadLetter] = []
        dead_letters = _DeadLetters(stack.bootstrap_servers)
        deadline = time.monotonic() + _WITHIN_S
        while time.monotonic() < deadline and not _is_over(receiver, letters):
            letters += await asyncio.to_thread(dead_letters.read)
            live.update(_table(receiver, letters))
            await asyncio.sleep(_REFRESH_S)
        dead_letters.close()
        await publishing
    return letters


async def _subscribe(api: httpx.AsyncClient, receiver: Receiver, console: Console) -> None:
    for name in receiver.arrivals:
        answer = await api.post(
            "/api/v1/subscriptions",
            json={"url": f"{receiver.url}/{name}", "event_types": ["user.*"], "description": f"demo: {name}"},
        )
        if answer.status_code != 201:
            raise DemoFailed(f"POST /api/v1/subscriptions answered {answer.status_code}: {answer.text}")
        created = answer.json()
        receiver.trust(name, created["secret"])
        console.print(f"  subscription {created['id']} → {name}")
    await asyncio.sleep(_IN_FORCE_WITHIN_S)  # what the API promises for a change to be in force everywhere


async def _publish(publisher: Publisher) -> None:
    for number in range(EVENTS):
        receipt = publisher.publish(
            type="user.created",
            organization_id=ORGANIZATION,
            data={"id": f"user_{number}", "email": f"user{number}@example.com", "password": "never leaves"},
            metadata={"source": "demo"},
        )
        await receipt
        await asyncio.sleep(_PUBLISH_EVERY_S)


class _DeadLetters:
    """Reads the dead-letter topic from its beginning."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": "hookline-demo"})
        partitions = self._consumer.list_topics(DEAD_LETTERS, timeout=10).topics[DEAD_LETTERS].partitions
        self._consumer.assign([TopicPartition(DEAD_LETTERS, each, OFFSET_BEGINNING) for each in partitions])

    def read(self) -> list[DeadLetter]:
        """Return what came since the last call."""
        messages = self._consumer.consume(500, timeout=0.05)
        return [decode(DeadLetter, message.value()) for message in messages if message.error() is None]

    def close(self) -> None:
        self._consumer.close()


def _is_over(receiver: Receiver, letters: list[DeadLetter]) -> bool:
    return not _missing(receiver, letters)


def _missing(receiver: Receiver, letters: list[DeadLetter]) -> tuple[str, ...]:
    arrived = {name: len(arrivals.accepted) for name, arrivals in receiver.arrivals.items()}
    expected = {"healthy": EVENTS, "recovers": EVENTS, "broken": 0}
    gaps = [f"{name}: {arrived[name]} of {count} arrived" for name, count in expected.items() if arrived[name] != count]
    dead = len({letter.delivery.id for letter in letters})
    if dead != EVENTS:
        gaps.append(f"broken: {dead} of {EVENTS} dead letters")
    if any(arrivals.forged for arrivals in receiver.arrivals.values()):
        gaps.append("a signature did not verify")
    return tuple(gaps)


def _result(receiver: Receiver, letters: list[DeadLetter]) -> Result:
    arrivals = receiver.arrivals.values()
    healthy = receiver.arrivals["healthy"]
    latencies = sorted(
        (at - datetime.fromisoformat(healthy.created_at[event_id]).timestamp()) * 1000
        for event_id, at in healthy.accepted.items()
    )
    return Result(
        events=EVENTS,
        requests=sum(each.requests for each in arrivals),
        verified=sum(each.verified for each in arrivals),
        forged=sum(each.forged for each in arrivals),
        delivered=sum(len(each.accepted) for each in arrivals),
        retried=sum(sum(each.tries.values()) - len(each.tries) for each in arrivals),
        dead=len({letter.delivery.id for letter in letters}),
        replayed=0,
        replay_id="",
        replay_state="",
        replay_s=0.0,
        latency_p50_ms=_percentile(latencies, 0.50),
        latency_p95_ms=_percentile(latencies, 0.95),
        missing=_missing(receiver, letters),
    )


def _percentile(ordered: list[float], share: float) -> float:
    return round(ordered[min(int(len(ordered) * share), len(ordered) - 1)], 1) if ordered else 0.0


def _table(receiver: Receiver, letters: list[DeadLetter]) -> Table:
    table = Table(title=f"{EVENTS} events × 3 subscriptions, waits {WAITS}")
    columns: tuple[tuple[str, Callable[[str], object]], ...] = (
        ("requests", lambda name: receiver.arrivals[name].requests),
        ("signature verified", lambda name: receiver.arrivals[name].verified),
        ("delivered", lambda name: len(receiver.arrivals[name].accepted)),
        ("dead letters", lambda name: len(letters) if name == "broken" else 0),
    )
    table.add_column("endpoint")
    for title, _ in columns:
        table.add_column(title, justify="right")
    about = {
        "healthy": "takes all",
        "recovers": f"fails {FAILURES_BEFORE_RECOVERY}×, then takes",
        "broken": "always fails",
    }
    for name in receiver.arrivals:
        table.add_row(f"{name} ({about[name]})", *(str(value(name)) for _, value in columns))
    return table


def _show_dead_letter(console: Console, letters: list[DeadLetter]) -> None:
    if not letters:
        return
    letter = letters[0]
    table = Table(title=f"A dead letter: {letter.delivery.event_type} {letter.delivery.event_id} ({letter.reason})")
    for title in ("attempt", "at", "took", "status", "kind"):
        table.add_column(title, justify="right")
    for past in letter.delivery.history:
        table.add_row(
            str(past.attempt),
            past.started_at.strftime("%H:%M:%S.%f")[:-3],
            f"{past.duration_ms} ms",
            str(past.status or "–"),
            past.error_kind or "",
        )
    console.print(table)


def _show(console: Console, result: Result, took_s: float) -> None:
    console.print(
        f"{result.events} events, {result.requests} requests, every one verified: {result.forged == 0};"
        f" {result.delivered} delivered, {result.retried} retries, {result.dead} dead letters,"
        f" {result.replayed} of them sent again and taken;"
        f" to the healthy endpoint p50 {result.latency_p50_ms} ms, p95 {result.latency_p95_ms} ms;"
        f" {took_s:.1f} s in all."
    )
