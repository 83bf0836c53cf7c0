"""The demo's second half says what did not arrive again."""

import io
import json
from datetime import UTC, datetime

import httpx
import pytest
from rich.console import Console
from standardwebhooks import Webhook

from compose import mending
from compose.mending import Again, replay_dead_letters
from compose.receiver import Receiver
from tests.compose import bodies
from tests.compose.bodies import REPLAY_ID
from tests.compose.standin import Answer, Asked, StandIn

SECRET = f"whsec_{'A' * 43}="
DEAD = {f"evt_{number}" for number in range(3)}


def send(url: str, event_id: str, replay: str) -> int:
    """Send an event as a worker sends it again; return the receiver's answer."""
    body = json.dumps({"id": event_id, "created_at": bodies.AT})
    now = datetime.now(UTC)
    headers = {
        "webhook-id": event_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(SECRET).sign(event_id, now, body),
        "hookline-replay": replay,
    }
    return httpx.post(f"{url}/broken", content=body, headers=headers, trust_env=False).status_code


async def replayed(standin: StandIn, *, sends: set[str], replay: str = REPLAY_ID, state: str = "completed") -> Again:
    """Return what the demo makes of a replay that sends these events."""

    def answer(asked: Asked) -> Answer:
        if asked.body.get("dry_run"):
            return 200, {"count": len(DEAD)}
        assert {send(receiver.url, event_id, replay) for event_id in sends} == {204}
        return 202, bodies.replay()

    standin.answers["POST /replays"] = answer
    standin.answers[f"GET /replays/{REPLAY_ID}"] = 200, bodies.replay(state=state, total=3, succeeded=len(sends))
    async with Receiver() as receiver, httpx.AsyncClient(base_url=standin.url, trust_env=False) as api:
        receiver.trust("broken", SECRET)
        again = await replay_dead_letters(api, receiver, DEAD, Console(file=io.StringIO()))
        arrivals = receiver.arrivals["broken"]
        assert (arrivals.forged, arrivals.accepted) == (0, {})  # it is no first arrival
    return again


async def test_every_dead_letter_arrives_again(standin_api: StandIn) -> None:
    again = await replayed(standin_api, sends=DEAD)
    assert (again.replay_id, again.state, again.arrived, again.missing) == (REPLAY_ID, "completed", 3, ())


@pytest.mark.parametrize(
    ("sends", "replay", "state", "says"),
    [
        ({"evt_0"}, REPLAY_ID, "completed", "1 of 3 dead letters arrived again"),
        ({*DEAD, "evt_9"}, REPLAY_ID, "completed", "1 others"),
        (DEAD, "rpl_other", "completed", "names another replay"),
        (DEAD, REPLAY_ID, "running", f"{REPLAY_ID} is running"),
    ],
)  # fmt: skip
async def test_what_is_missing_is_named(  # noqa: PLR0917
    sends: set[str], replay: str, state: str, says: str, standin_api: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mending, "_REPLAYED_WITHIN_S", 0.3)
    again = await replayed(standin_api, sends=sends, replay=replay, state=state)
    assert says in "; ".join(again.missing)
