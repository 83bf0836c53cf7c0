"""Every receiver that can do harm, through the real stack: the log says what each was, and the worker stays small."""

import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from schemas.codec import decode
from schemas.records import Attempt
from schemas.topics import ATTEMPTS
from tests.faults.figures import Figure
from tests.faults.hostile import Hostile, hostile_receivers
from tests.faults.memory import Peak, resident_mb
from tests.faults.remaining import Topics
from tests.faults.scenario import Control, Scenario, Setting
from tests.faults.stage import Stage, staged
from tests.faults.without import command_without

EVENTS: Final = 40
PER_S: Final = 8
TIMEOUT_S: Final = 2
MOST_MB: Final = 20
_SETTINGS: Final = {
    "HOOKLINE_RETRY_WAITS": "1h,2h",  # one attempt each: what it came to is looked at
    "HOOKLINE_BREAKER_LEAST_ATTEMPTS": "1000000",  # no breaker gives a receiver a rest
}
_WITHIN_S: Final = 120.0


def receivers(setting: Setting) -> list[Figure]:
    """Ours."""
    return _attacked(setting, {})


def receivers_without_a_cap(setting: Setting) -> list[Figure]:
    """The control: an answer is read to its end."""
    return _attacked(setting, {"worker-0": command_without("body-cap", "worker")})


def _attacked(setting: Setting, commands: Mapping[str, Sequence[str | Path]]) -> list[Figure]:
    with hostile_receivers(setting.folder / "hostile") as (hostile, trusted):
        env = {**_SETTINGS, "SSL_CERT_FILE": str(trusted)}
        with staged(setting, paths=("/good",), env=env, commands=commands) as stage:
            stage.stack.hold("projector")  # 410 would disable its subscription after one attempt
            return _played(stage, hostile)


def _played(stage: Stage, hostile: list[Hostile]) -> list[Figure]:
    setting = stage.setting
    events = setting.scaled(EVENTS, at_least=5)
    worker = stage.stack.child("worker-0").process.pid
    ids = _subscribe(stage, hostile)
    # As many deliveries as are to come, to a receiver that behaves: what any load costs is no receiver's doing.
    with stage.load(deliveries_per_s=100, deliveries=max(400, events * len(hostile) // 2)) as load:
        load.join()
    stage.settle(load.accepted)
    before = resident_mb(worker)
    with Peak(worker) as peak:
        attempts = _attempts_at(stage, hostile, ids, events)
    wrong, kinds = _wrong(hostile, ids, attempts)
    for name, found in wrong.items():
        setting.say(f"{name}: {found}")
    return [
        Figure("receivers", len(hostile)),
        Figure("attempts", sum(len(each) for each in attempts.values())),
        Figure("attempts without an outcome", events * len(hostile) - sum(len(each) for each in attempts.values()), 0),
        Figure("receivers with a wrong outcome", len(wrong), 0),
        Figure("kinds of outcome", kinds),
        Figure("memory before, MB", round(before, 1)),
        Figure("memory beside them, MB more", round(max(0.0, peak.mb - before), 1), MOST_MB),
        Figure("restarts of the worker", int(stage.stack.child("worker-0").process.pid != worker), 0),
    ]


def _subscribe(stage: Stage, hostile: list[Hostile]) -> dict[str, Hostile]:
    """Subscribe each to `role.*`; return them by their subscription's id."""
    found = {}
    with stage.api() as api:
        for each in hostile:
            body = {"url": each.url, "event_types": ["role.*"], "timeout_s": TIMEOUT_S}
            answer = api.post("/api/v1/subscriptions", json=body)
            assert answer.status_code == 201, answer.text
            found[answer.json()["id"]] = each
    stage.wait_until_followed()
    return found


def _attempts_at(
    stage: Stage, hostile: list[Hostile], ids: dict[str, Hostile], events: int
) -> dict[str, list[Attempt]]:
    """Publish to all of them and return the outcomes of each."""
    from tests.faults.loading import Load

    load = Load(
        stage.stack.bootstrap_servers,
        stage.organization,
        events_per_s=PER_S,
        events=events,
        event_type="role.deleted",
    )
    with load:
        load.join()
    deadline = time.monotonic() + _WITHIN_S
    while True:
        found: defaultdict[str, list[Attempt]] = defaultdict(list)
        for message in Topics(stage.stack.bootstrap_servers).read(ATTEMPTS):
            attempt = decode(Attempt, message.value())
            if attempt.subscription_id in ids and attempt.event_id in load.accepted and attempt.attempt == 1:
                found[ids[attempt.subscription_id].name].append(attempt)
        if sum(len(each) for each in found.values()) >= events * len(hostile) or time.monotonic() > deadline:
            return dict(found)
        time.sleep(1.0)


def _wrong(
    hostile: list[Hostile], ids: dict[str, Hostile], attempts: dict[str, list[Attempt]]
) -> tuple[dict[str, str], int]:
    """Return the receivers of which something else was logged than they did, and how many kinds were seen."""
    wrong: dict[str, str] = {}
    kinds: set[tuple[str | None, int | None]] = set()
    for each in hostile:
        found = Counter((attempt.error_kind, attempt.status) for attempt in attempts.get(each.name, []))
        kinds |= found.keys()
        expected = (None if each.kind is None else each.kind.value, each.status)
        if found.keys() != {expected}:
            wrong[each.name] = f"expected {expected}, found {dict(found)}"
    return wrong, len({kind for kind, _ in kinds})


SCENARIOS: Final = (
    Scenario(
        "receivers",
        "receivers of every hostile kind",
        receivers,
        (Control("an answer is read to its end", receivers_without_a_cap, ("memory beside them, MB more",)),),
    ),
)
