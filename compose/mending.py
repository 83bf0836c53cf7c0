"""The demo's second half: the broken receiver is mended, and its dead letters are sent again, over REST."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import httpx
from rich.console import Console

from compose.receiver import Receiver

MENDED: Final = "broken"
_LOGGED_WITHIN_S: Final = 10.0
_REPLAYED_WITHIN_S: Final = 15.0
_LOOK_EVERY_S: Final = 0.1
_RATE_PER_S: Final = 200.0
_DEAD_LETTERS: Final = {"state": "failed"}


@dataclass(frozen=True, slots=True)
class Again:
    """What became of the dead letters: how many of them arrived, by which replay, and what is missing."""

    replay_id: str
    state: str
    arrived: int
    seconds: float
    missing: tuple[str, ...] = ()


async def replay_dead_letters(api: httpx.AsyncClient, receiver: Receiver, dead: set[str], console: Console) -> Again:
    """Mend the broken receiver, send again the dead letters of these events, and return what arrived."""
    receiver.mend(MENDED)
    # The log comes a little after Kafka: a replay sends what the log knows.
    counted = await _until(
        lambda: _ask(api, "POST", "/replays", {**_DEAD_LETTERS, "dry_run": True}),
        lambda answer: answer["count"] >= len(dead),
        within_s=_LOGGED_WITHIN_S,
    )
    console.print(f"Mended {MENDED}: a dry run counts {counted['count']} dead letters. Sending them again …")
    began = time.monotonic()
    replay = await _ask(api, "POST", "/replays", {**_DEAD_LETTERS, "rate_per_s": _RATE_PER_S})
    done = await _until(
        lambda: _ask(api, "GET", f"/replays/{replay['id']}"),
        lambda answer: answer["state"] == "completed",
        within_s=_REPLAYED_WITHIN_S,
    )
    took_s = time.monotonic() - began
    came = receiver.arrivals[MENDED].replayed
    again = Again(done["id"], done["state"], len(came), round(took_s, 2), _missing(done, came, dead))
    console.print(
        f"  {again.replay_id} {again.state}: {done['succeeded']} of {done['total']} arrived in {took_s:.1f} s,"
        f" each with the webhook-id of its dead letter: {came.keys() == dead}"
    )
    return again


def _missing(replay: dict[str, Any], came: dict[str, str], dead: set[str]) -> tuple[str, ...]:
    gaps = [] if replay["state"] == "completed" else [f"{replay['id']} is {replay['state']}"]
    if came.keys() != dead:
        gaps.append(
            f"{len(came.keys() & dead)} of {len(dead)} dead letters arrived again, {len(came.keys() - dead)} others"
        )
    if set(came.values()) - {replay["id"]}:
        gaps.append("a hookline-replay header names another replay")
    if replay["succeeded"] != len(dead):
        gaps.append(f"the replay counts {replay['succeeded']} of {len(dead)}")
    return tuple(gaps)


async def _until(
    ask: Callable[[], Awaitable[dict[str, Any]]], reached: Callable[[dict[str, Any]], bool], *, within_s: float
) -> dict[str, Any]:
    """Return the answer for which `reached` holds, or the last one when the time is up."""
    deadline = time.monotonic() + within_s
    while True:
        answer = await ask()
        if reached(answer) or time.monotonic() > deadline:
            return answer
        await asyncio.sleep(_LOOK_EVERY_S)


async def _ask(api: httpx.AsyncClient, method: str, path: str, body: object = None) -> dict[str, Any]:
    answer = await api.request(method, f"/api/v1{path}", json=body)
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found
