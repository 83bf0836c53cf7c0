"""Brokers are killed: the only one, the leaders of three, and two of three at once."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import httpx

from compose.kafka_cluster import KafkaCluster
from schemas.topics import DELIVER
from tests.faults.arrivals import Received
from tests.faults.figures import Figure
from tests.faults.loading import PostedLoad
from tests.faults.scenario import Control, Scenario, Setting
from tests.faults.stage import Stage, staged
from tests.faults.stock import GROUP, stock_commands
from tests.faults.without import command_without

KILLS: Final = 5
DOWN_S: Final = 25.0
FULL_RATE_WITHIN_S: Final = 30.0
PER_S: Final = 200
LEADERS_KILLED: Final = 10
LEADER_DOWN_S: Final = 5.0
POSTS_WITH_TWO_DOWN: Final = 20  # a third of the partitions is led by the broker that is left
THREE_COPIES: Final = {"HOOKLINE_REPLICATION_FACTOR": "3"}
_WINDOW_S: Final = 2.0
_GIVE_UP_S: Final = 120.0
_STEADY_S: Final = 5.0


def kills(setting: Setting) -> list[Figure]:
    """The only broker is killed and comes back, again and again."""
    with staged(setting, workers=2) as stage:
        return _broker_killed(stage)


def kills_of_stock_faust(setting: Setting) -> list[Figure]:
    """The same with stock Faust's workers."""
    with staged(setting, workers=2, commands=stock_commands(2, setting.folder)) as stage:
        stage.group = GROUP
        return _broker_killed(stage)


def _broker_killed(stage: Stage) -> list[Figure]:
    setting = stage.setting
    down_s = DOWN_S if setting.scale >= 1 else max(4.0, DOWN_S * setting.scale)
    slowest = 0.0
    with stage.load(deliveries_per_s=PER_S) as load:
        for number in range(setting.scaled(KILLS)):
            time.sleep(_STEADY_S)
            stage.stack.kafka.kill()
            time.sleep(down_s)
            stage.stack.kafka.start()
            stage.stack.kafka.wait_until_ready()
            slowest = max(slowest, took := full_rate_after_s(stage.received, PER_S, time.time()))
            setting.say(f"kill {number + 1}: full rate {took:.1f} s after the broker was back")
    account = stage.settle(load.accepted, quiet_s=100.0)
    setting.say(f"{load.refused} events were refused while it was down: nobody owes them")
    return [
        *account.figures(),
        Figure("full rate after the broker is back, s", round(slowest, 1), FULL_RATE_WITHIN_S),
    ]


def full_rate_after_s(received: Received, per_s: float, since: float) -> float:
    """Return how long it takes until as much arrives as is published, over two seconds; `_GIVE_UP_S` at most."""
    while (now := time.time()) - since < _GIVE_UP_S:
        received.read()
        recent = sum(max(since, now - _WINDOW_S) < at for at in list(received.taken.values())[-int(per_s * 60) :])
        if now - since >= _WINDOW_S and recent >= 0.95 * per_s * _WINDOW_S:
            return now - _WINDOW_S - since
        time.sleep(0.1)
    return _GIVE_UP_S


def leaders(setting: Setting) -> list[Figure]:
    """Leaders of three brokers are killed one after the other, then two stay down for a while."""
    return _leaders_killed(setting, {})


def leaders_with_one_copy_enough(setting: Setting) -> list[Figure]:
    """The control: the API's producer takes one broker's word for it."""
    return _leaders_killed(setting, {"api": command_without("all-copies", "api")})


def _leaders_killed(setting: Setting, commands: dict[str, object]) -> list[Figure]:
    cluster = KafkaCluster(setting.folder / "cluster")
    with staged(setting, workers=2, env=THREE_COPIES, kafka=cluster, commands=commands) as stage:  # type: ignore[arg-type] # command lines
        with stage.load(deliveries_per_s=PER_S) as load, posting(stage) as posted:
            for number in range(setting.scaled(LEADERS_KILLED, at_least=2)):
                time.sleep(_STEADY_S)
                leader = cluster.leader_of(DELIVER, number % 8)
                leader.kill()
                time.sleep(LEADER_DOWN_S)
                leader.start()
                leader.wait_until_ready()
                cluster.wait_until_in_sync()
                setting.say(f"leader {number + 1} killed and back")
        answers, early = _two_down(stage, cluster)
        account = stage.settle({**load.accepted, **posted.accepted, **early}, quiet_s=60.0)
    setting.say(f"posted: {dict(posted.answers)}; with two brokers down: {dict(answers)}")
    return [
        *account.figures(),
        Figure("answers other than 503 with two down", sum(answers.values()) - answers[503], 0),
    ]


def _two_down(stage: Stage, cluster: KafkaCluster) -> tuple[Counter[int], dict[str, float]]:
    """Return how POST /events answered with one broker of three left, and what it accepted all the same."""
    answers: Counter[int] = Counter()
    accepted: dict[str, float] = {}
    for broker in cluster.brokers[:2]:
        broker.kill()
    with stage.api() as api, ThreadPoolExecutor(POSTS_WITH_TWO_DOWN) as pool:

        def post(number: int) -> httpx.Response:
            return api.post("/api/v1/events", json={"type": "user.created", "data": {"id": f"two-down-{number}"}})

        for answer in pool.map(post, range(POSTS_WITH_TWO_DOWN)):
            answers[answer.status_code] += 1
            if answer.status_code == 202:
                accepted[answer.json()["id"]] = time.time()
    cluster.start()
    cluster.wait_until_ready()
    cluster.wait_until_in_sync()
    return answers, accepted


def posting(stage: Stage, *, events_per_s: float = 10) -> PostedLoad:
    """Return a load through the API, to be entered."""
    return PostedLoad(stage.stack.api_url, stage.headers, events_per_s=events_per_s)


SCENARIOS: Final = (
    Scenario(
        "broker",
        "broker kill -9 × 5, 25 s down",
        kills,
        (Control("stock Faust", kills_of_stock_faust, ("lost", "full rate after the broker is back, s")),),
    ),
    Scenario(
        "leaders",
        "3 brokers (3 copies, 2 in sync), leaders killed × 10; then two down",
        leaders,
        (
            Control(
                "the API content with one copy",
                leaders_with_one_copy_enough,
                ("lost", "answers other than 503 with two down"),
            ),
        ),
    ),
)
