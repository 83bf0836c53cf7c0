"""Each command asks the route that it is named after, with REST's names, and ends with the code that says how."""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.compose import bodies
from tests.compose.bodies import DELIVERY_ID, EVENT_ID, QUARANTINE_ID, REPLAY_ID, SUBSCRIPTION_ID
from tests.compose.shell import hookline_here as hookline
from tests.compose.shell import started
from tests.compose.standin import Answer, Asked, StandIn, listed, problem

SECRET = f"whsec_{'A' * 43}="
REPLAYED = 202, bodies.replay()
SENDING = (
    "--rate-limit", "600/m", "--max-in-flight", "3", "--catch-up-rate", "12.5", "--ordering", "per_key",
    "--on-exhaustion", "block", "--allow-address", "8.8.8.0/24", "--allow-address", "9.9.9.9", "--signature", "hex",
    "--signature-header", "X-S", "--event-type-header", "X-E", "--delivery-id-header", "X-D",
)  # fmt: skip
SENT_SO = {
    "rate_limit": {"limit": 600, "per": "minute"}, "max_in_flight": 3, "catch_up_rate_per_s": 12.5,
    "ordering": "per_key", "on_exhaustion": "block", "allowed_addresses": ["8.8.8.0/24", "9.9.9.9"],
    "signature": {"style": "hex", "header": "X-S"}, "event_type_header": "X-E", "delivery_id_header": "X-D",
}  # fmt: skip
FILTERS = (
    "--subscription", "sub_1", "--event-type", "user.created", "--since", "2026-11-20", "--until",
    "2026-11-21T00:00:00Z", "--status", "503", "--error-kind", "timeout", "--event-id", "evt_0",
)  # fmt: skip
FILTERED = {
    "subscription_id": "sub_1", "event_type": "user.created", "since": "2026-11-20T00:00:00Z",
    "until": "2026-11-21T00:00:00Z", "status": "503", "error_kind": "timeout", "event_id": "evt_0",
}  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "asks", "answer", "params", "body"),
    [
        (("subscriptions", "list", "--state", "failing", "--event-type", "a.b", "--text", "x"), "GET /subscriptions",
         listed(bodies.subscription()), {"state": "failing", "event_type": "a.b", "text": "x"}, None),
        (("subscriptions", "test", SUBSCRIPTION_ID), f"POST /subscriptions/{SUBSCRIPTION_ID}/test",
         (200, bodies.attempt(state="success")), {}, None),
        (("subscriptions", "enable", SUBSCRIPTION_ID), f"POST /subscriptions/{SUBSCRIPTION_ID}/enable",
         (200, bodies.subscription()), {}, None),
        (("subscriptions", "disable", "sub_1", "sub_2"), "POST /subscriptions/bulk",
         (200, {"results": [{"id": "sub_1", "ok": True}, {"id": "sub_2", "ok": True}]}), {},
         {"action": "disable", "ids": ["sub_1", "sub_2"]}),
        (("subscriptions", "pause", SUBSCRIPTION_ID), f"POST /subscriptions/{SUBSCRIPTION_ID}/pause",
         (200, bodies.subscription()), {}, None),
        (("subscriptions", "resume", SUBSCRIPTION_ID, "--rate", "2.5"), f"POST /subscriptions/{SUBSCRIPTION_ID}/resume",
         (200, bodies.subscription()), {}, {"rate_per_s": 2.5}),
        (("subscriptions", "resume", "sub_1", "sub_2"), "POST /subscriptions/bulk",
         (200, {"results": [{"id": "sub_1", "ok": True}, {"id": "sub_2", "ok": True}]}), {},
         {"action": "resume", "ids": ["sub_1", "sub_2"]}),
        (("subscriptions", "change", SUBSCRIPTION_ID, "--timeout", "5", *SENDING),
         f"PATCH /subscriptions/{SUBSCRIPTION_ID}", (200, bodies.subscription()), {}, {"timeout_s": 5.0, **SENT_SO}),
        (("subscriptions", "change", SUBSCRIPTION_ID, "--rate-limit", "default", "--max-in-flight", "default",
          "--allow-address", "default", "--signature-header", "default", "--delivery-id-header", "default"),
         f"PATCH /subscriptions/{SUBSCRIPTION_ID}", (200, bodies.subscription()), {},
         {"rate_limit": None, "max_in_flight": None, "allowed_addresses": None, "signature": {"header": None},
          "delivery_id_header": None}),
        (("subscriptions", "add", "https://x/", "--event-type", "*", *SENDING), "POST /subscriptions",
         (201, bodies.subscription(secret=SECRET)), {},
         {"url": "https://x/", "event_types": ["*"], "enabled": True, **SENT_SO}),
        (("subscriptions", "change", SUBSCRIPTION_ID, "--payload", "thin"), f"PATCH /subscriptions/{SUBSCRIPTION_ID}",
         (200, bodies.subscription(payload={"shape": "thin", "include": None})), {}, {"payload": {"shape": "thin"}}),
        (("subscriptions", "change", SUBSCRIPTION_ID, "--payload", "default"),
         f"PATCH /subscriptions/{SUBSCRIPTION_ID}", (200, bodies.subscription(payload=None)), {}, {"payload": None}),
        (("subscriptions", "dry-run", "--event-type", "user.*", "--filter", "data.a > 1", "--since", "2026-11-20",
          "--limit", "50", "--payload", '{"mask": ["personal"]}'), "POST /subscriptions/dry-run",
         (200, bodies.dry_run()), {},
         {"event_types": ["user.*"], "filters": [{"cel": "data.a > 1"}], "payload": {"mask": ["personal"]},
          "since": "2026-11-20T00:00:00Z", "limit": 50}),
        (("subscriptions", "dry-run", SUBSCRIPTION_ID), f"POST /subscriptions/{SUBSCRIPTION_ID}/dry-run",
         (200, bodies.dry_run()), {}, {}),
        (("replay", "--state", "failed", "--payload", "current"), "POST /replays", REPLAYED, {},
         {"state": "failed", "payload": "current"}),
        (("subscriptions", "delete", SUBSCRIPTION_ID, "--yes"), f"DELETE /subscriptions/{SUBSCRIPTION_ID}",
         (204, None), {}, None),
        (("deliveries", "list", "--state", "retrying", *FILTERS), "GET /deliveries", listed(bodies.delivery()),
         {"state": "retrying", **FILTERED}, None),
        (("dead-letters", *FILTERS), "GET /deliveries", listed(bodies.delivery()), {"state": "failed", **FILTERED},
         None),
        (("deliveries", "show", DELIVERY_ID), f"GET /deliveries/{DELIVERY_ID}",
         (200, bodies.delivery(attempts=[bodies.attempt()])), {}, None),
        (("deliveries", "retry", DELIVERY_ID), f"POST /deliveries/{DELIVERY_ID}/retry",
         (202, {"delivery_id": DELIVERY_ID, "replay_id": REPLAY_ID}), {}, None),
        (("replay", "--state", "failed", "--event-type", "a.b", "--event-type", "a.c", "--rate", "50", "--since",
          "2026-11-20", "--subscription", "sub_1"), "POST /replays", REPLAYED, {},
         {"state": "failed", "event_types": ["a.b", "a.c"], "rate_per_s": 50.0, "since": "2026-11-20T00:00:00Z",
          "subscription_id": "sub_1"}),
        (("replay", "--state", "held", "--dry-run"), "POST /replays", (200, {"count": 1234}), {},
         {"state": "held", "dry_run": True}),
        (("replay", "--source", "log", "--since", "2026-11-20", "--event-type", "a.*", "--filters",
          '[{"prefix": {"subject": "u"}}]'), "POST /replays", REPLAYED, {},
         {"source": "log", "since": "2026-11-20T00:00:00Z", "event_types": ["a.*"],
          "filters": [{"prefix": {"subject": "u"}}]}),
        (("replay", "--source", "log", "--from-offset", "0:12", "--from-offset", "1:7", "--to-offset", "0:40",
          "--dry-run"), "POST /replays", (200, bodies.estimate()), {},
         {"source": "log", "offsets": {"from": {"0": 12, "1": 7}, "to": {"0": 40}}, "dry_run": True}),
        (("replays", "pause", REPLAY_ID), f"POST /replays/{REPLAY_ID}/pause", (200, bodies.replay(state="paused")), {},
         None),
        (("replays", "resume", REPLAY_ID), f"POST /replays/{REPLAY_ID}/resume", (200, bodies.replay()), {}, None),
        (("jobs", "list", "--kind", "replay", "--state", "running"), "GET /jobs", listed(bodies.job()),
         {"kind": "replay", "state": "running"}, None),
        (("jobs", "show", REPLAY_ID), f"GET /jobs/{REPLAY_ID}", (200, bodies.job()), {}, None),
        (("events", "list", "--outcome", "unwanted", "--since", "2026-11-20"), "GET /events", listed(bodies.event()),
         {"outcome": "unwanted", "since": "2026-11-20T00:00:00Z", "order": "desc"}, None),
        (("events", "list", "--never-delivered", "--since", "2026-11-20"), "GET /events", listed(bodies.event()),
         {"outcome": "never_delivered", "since": "2026-11-20T00:00:00Z", "order": "desc"}, None),
        (("replays", "list"), "GET /replays", listed(bodies.replay()), {}, None),
        (("replays", "show", REPLAY_ID), f"GET /replays/{REPLAY_ID}", (200, bodies.replay()), {}, None),
        (("replays", "show", REPLAY_ID, "--items", "failed"), f"GET /replays/{REPLAY_ID}/items", listed(),
         {"state": "failed"}, None),
        (("replays", "cancel", REPLAY_ID), f"POST /replays/{REPLAY_ID}/cancel", (200, bodies.replay()), {}, None),
        (("events", "list", "--type", "a.b", "--source-id", "mine", "--order", "asc"), "GET /events",
         listed(bodies.event()), {"type": "a.b", "source_id": "mine", "order": "asc"}, None),
        (("events", "show", EVENT_ID), f"GET /events/{EVENT_ID}", (200, bodies.event(deliveries=[])), {}, None),
        (("quarantine", "list", "--not-retried", "--topic", "t", "--stage", "route"), "GET /quarantine",
         listed(bodies.record()), {"topic": "t", "stage": "route", "retried": "false"}, None),
        (("quarantine", "show", QUARANTINE_ID), f"GET /quarantine/{QUARANTINE_ID}", (200, bodies.record()), {}, None),
        (("quarantine", "retry", QUARANTINE_ID), f"POST /quarantine/{QUARANTINE_ID}/retry",
         (200, bodies.record(retried_at=bodies.AT)), {}, None),
        (("quarantine", "retry", QUARANTINE_ID, "--again"), f"POST /quarantine/{QUARANTINE_ID}/retry",
         (200, bodies.record(retried_at=bodies.AT)), {"again": "true"}, None),
    ],
    ids=lambda value: "-".join(value[:2]) if isinstance(value, tuple) and isinstance(value[0], str) else None,
)  # fmt: skip
def test_a_command_asks_its_route_with_rests_names(  # noqa: PLR0917
    arguments: tuple[str, ...],
    asks: str,
    answer: Answer | Callable[[Asked], Answer],
    params: dict[str, str],
    body: Any,
    standin_api: StandIn,
) -> None:
    standin_api.answers[asks] = answer
    ran = hookline(*arguments, **standin_api.env)
    assert (ran.code, len(standin_api.asked)) == (0, 1), ran.err
    asked = standin_api.asked[0]
    assert f"{asked.method} {asked.path}" == asks
    assert {name: value for name, value in asked.params.items() if name != "limit"} == params
    assert asked.body == body


def test_dead_letters_say_how_to_send_them_again(standin_api: StandIn) -> None:
    standin_api.answers["GET /deliveries"] = listed(bodies.delivery())
    ran = hookline("dead-letters", "--subscription", SUBSCRIPTION_ID, "--event-type", "a.b", **standin_api.env)
    assert DELIVERY_ID in ran.out
    assert f"hookline replay --state failed --subscription {SUBSCRIPTION_ID} --event-type a.b --dry-run" in ran.err
    narrower = hookline("dead-letters", "--event-type", "a.b", "--status", "503", **standin_api.env)
    assert "hookline replay" not in narrower.err  # it would send more than was listed
    assert "hookline dead-letters --event-type a.b --status 503 --json | jq" in narrower.err
    as_json = hookline("dead-letters", "--json", **standin_api.env)
    assert (json.loads(as_json.out), as_json.err) == ([bodies.delivery()], "")


def test_a_replay_of_everything_by_accident_is_refused(standin_api: StandIn) -> None:
    ran = hookline("replay", "--rate", "5", **standin_api.env)
    assert ran.code == 2
    assert "say which: --state failed" in ran.err
    assert standin_api.asked == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("replay", "--source", "log"), "say --since, or --from-offset"),
        (("replay", "--source", "log", "--since", "1d", "--from-offset", "0:1"), "say --since, or --from-offset"),
        (("replay", "--source", "log", "--from-offset", "0-1"), "write PARTITION:OFFSET"),
        (("replay", "--source", "log", "--since", "1d", "--filters", "{"), "is no JSON"),
        (("events", "list", "--outcome", "unwanted"), "goes with --since"),
        (("events", "list", "--never-delivered", "--outcome", "unwanted"), "not both"),
    ],
)
def test_what_does_not_go_together_is_said_before_anybody_is_asked(
    arguments: tuple[str, ...], says: str, standin_api: StandIn
) -> None:
    ran = hookline(*arguments, **standin_api.env)
    assert ran.code == 2
    assert says in ran.err
    assert standin_api.asked == []


def test_an_estimate_says_how_much_of_what_and_from_where(standin_api: StandIn) -> None:
    standin_api.answers["POST /replays"] = 200, bodies.estimate()
    out = hookline("replay", "--source", "log", "--since", "1d", "--dry-run", **standin_api.env).out
    for says in ("about 5,000", "3.7 MB", "0:00:50 at least", "Kafka 4,200, stored bodies 700", "user.created"):
        assert says in out


@pytest.mark.parametrize("name", [".", ".."])
def test_dots_are_an_id_and_no_way_to_another_path(name: str, standin_api: StandIn) -> None:
    standin_api.answers["GET /subscriptions"] = 200, {"data": [], "has_more": False, "next_cursor": None}
    ran = hookline("subscriptions", "show", name, **standin_api.env)
    assert (ran.code, ran.complaint) == (1, "hookline: no such route")
    assert [asked.path for asked in standin_api.asked] == [f"/subscriptions/{name.replace('.', '%2E')}"]


def test_a_replay_that_ended_early_did_not_arrive(standin_api: StandIn) -> None:
    ended = bodies.replay(state="completed", total=5, succeeded=5, error="the subscription was deleted")
    standin_api.answers[f"GET /replays/{REPLAY_ID}"] = 200, ended
    ran = hookline("replays", "show", REPLAY_ID, "--watch", **standin_api.env)
    assert (ran.code, "the subscription was deleted" in ran.out) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("deliveries", "list", "--since", "30x"), "'--since': '30x' is no time"),
        (("deliveries", "list", "--state", "lost"), "'lost' is not one of 'pending'"),
        (("subscriptions", "rotate-secret", "sub_1", "--secret", SECRET), "others on this machine can see"),
        (("subscriptions", "add", "http://x", "--event-type", "*", "--header", "X"), "write it as 'Name: value'"),
        (("subscriptions", "add", "http://x", "--event-type", "*", "--metadata", "{"), "is not JSON"),
        (("subscriptions", "delete", "sub_1"), "say --yes"),
        (("subscriptions", "change", "sub_1"), "say what to change"),
        (("subscriptions", "change", "sub_1", "--rate-limit", "50"), "write it as 50/s, 600/m, or default"),
        (("subscriptions", "change", "sub_1", "--max-in-flight", "some"), "give a whole number, or default"),
        (("subscriptions", "resume", "sub_1", "sub_2", "--rate", "5"), "goes with one subscription"),
    ],
)  # fmt: skip
def test_what_does_not_hold_is_refused_before_anybody_is_asked(
    arguments: tuple[str, ...], says: str, standin_api: StandIn
) -> None:
    ran = hookline(*arguments, **standin_api.env)
    assert ran.code == 2
    assert says in ran.err
    assert SECRET not in ran.err
    assert standin_api.asked == []


def test_a_secret_comes_from_a_file_and_is_printed_once(standin_api: StandIn, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    standin_api.answers["POST /subscriptions/sub_1/rotate-secret"] = 200, bodies.subscription(secret=SECRET)
    rotate = ("subscriptions", "rotate-secret", "sub_1", "--overlap", "1h", "--secret")
    from_file = hookline(*rotate, f"@{tmp_path / 'secret'}", **standin_api.env)
    from_stdin = hookline(*rotate, "-", stdin=f"{SECRET}\n", **standin_api.env)
    assert [asked.body for asked in standin_api.asked] == [{"overlap": "1h", "secret": SECRET}] * 2
    for ran in (from_file, from_stdin):
        assert ran.out.count(SECRET) == 1
        assert SECRET not in ran.err


def test_a_test_that_was_not_taken_ends_with_1(standin_api: StandIn) -> None:
    path = f"POST /subscriptions/{SUBSCRIPTION_ID}/test"
    standin_api.answers[path] = 200, {**bodies.attempt(), "delivery_id": DELIVERY_ID}
    failed = hookline("subscriptions", "test", SUBSCRIPTION_ID, **standin_api.env)
    assert (failed.code, "try later" in failed.out) == (1, True)
    standin_api.answers[path] = 202, {"delivery_id": DELIVERY_ID}
    unknown = hookline("subscriptions", "test", SUBSCRIPTION_ID, **standin_api.env)
    assert unknown.code == 1
    assert f"hookline deliveries show {DELIVERY_ID}" in unknown.err


def test_of_many_each_one_says_what_became_of_it(standin_api: StandIn) -> None:
    results = [{"id": "sub_1", "ok": True}, {"id": "sub_2", "ok": False, "error": {"detail": "there is none"}}]
    answers: dict[str, Answer] = {
        "POST /subscriptions/bulk": (200, {"results": results}),
        "POST /deliveries/dlv_1/retry": problem(409, "it is being sent"),
        "POST /deliveries/dlv_2/retry": (202, {"delivery_id": "dlv_2", "replay_id": REPLAY_ID}),
    }
    standin_api.answers |= answers
    changed = hookline("subscriptions", "enable", "sub_1", "sub_2", **standin_api.env)
    assert (changed.code, changed.out) == (1, "sub_1  enabled\nsub_2  there is none\n")
    retried = hookline("deliveries", "retry", "dlv_1", "dlv_2", **standin_api.env)
    assert (retried.code, retried.err) == (1, "dlv_1  it is being sent\n")
    assert retried.out == f"dlv_2  sent again by {REPLAY_ID}\n"


def test_a_cancelled_replay_did_not_arrive(standin_api: StandIn) -> None:
    standin_api.answers[f"GET /replays/{REPLAY_ID}"] = 200, bodies.replay(state="cancelled", total=0)
    assert hookline("replays", "show", REPLAY_ID, "--watch", **standin_api.env).code == 1


@pytest.mark.parametrize(("failed", "code"), [(0, 0), (3, 1)])
def test_watching_a_replay_ends_with_it_and_says_whether_all_arrived(
    failed: int, code: int, standin_api: StandIn
) -> None:
    ends = {"sent": 10, "succeeded": 10 - failed, "failed": failed}
    seen = iter([bodies.replay(sent=5, succeeded=5), bodies.replay(state="finishing", **ends)])
    done = bodies.replay(state="completed", finished_at=bodies.AT, **ends)
    standin_api.answers["POST /replays"] = REPLAYED
    standin_api.answers[f"GET /replays/{REPLAY_ID}"] = lambda _: (200, next(seen, done))
    ran = hookline("replay", "--state", "failed", "--watch", "--json", **standin_api.env)
    assert ran.code == code
    assert json.loads(ran.out) == done
    assert f"completed  10 of 10  {10 - failed} succeeded" in ran.err


@pytest.mark.parametrize("status", [429, 502, 503])
def test_watching_goes_on_when_the_database_is_back(status: int, standin_api: StandIn) -> None:
    """PostgreSQL that is started again says nothing about the replay: exit code 1 would."""
    done = bodies.replay(state="completed", sent=10, succeeded=10, finished_at=bodies.AT)
    seen = iter([(200, bodies.replay(sent=5)), problem(status, "the database does not answer")])
    standin_api.answers["POST /replays"] = REPLAYED
    standin_api.answers[f"GET /replays/{REPLAY_ID}"] = lambda _: next(seen, (200, done))
    ran = hookline("replay", "--state", "failed", "--watch", "--json", **standin_api.env)
    assert (ran.code, json.loads(ran.out)) == (0, done)


def test_ctrl_c_ends_the_watching_and_not_the_replay(standin_api: StandIn) -> None:
    standin_api.answers["POST /replays"] = REPLAYED
    standin_api.answers[f"GET /replays/{REPLAY_ID}"] = 200, bodies.replay(sent=1)
    with started("replay", "--state", "failed", "--watch", **standin_api.env) as process:
        assert process.stderr is not None
        assert process.stderr.readline().decode().strip() == REPLAY_ID
        assert b"running  0 of 10" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert f"`hookline replays cancel {REPLAY_ID}` ends it" in err.decode()
    assert {asked.method for asked in standin_api.asked[1:]} <= {"GET"}  # nothing was cancelled


def test_the_tail_prints_what_comes_and_ends_with_130_and_no_word(standin_api: StandIn) -> None:
    def event(number: int) -> dict[str, Any]:
        return bodies.event(id=f"evt_019a9f2b6c7d7e8f9a0b1c2d3e4f5a6{number}")

    looks: list[list[dict[str, Any]]] = [[event(1)], [event(1)], [event(1), event(2)]]

    def answer(asked: Asked) -> Answer:
        rows = (looks.pop(0) if len(looks) > 1 else looks[0]) if "order" in asked.params else []
        return 200, {"data": rows, "next_cursor": None, "has_more": False}

    standin_api.answers["GET /events"] = answer
    with started("events", "tail", "--type", "user.created", "--json", **standin_api.env) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline()) == event(2)  # 1 was there when it began
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (130, b"", b"")
    asked = standin_api.asked[-1].params
    assert (asked["type"], asked["order"]) == ("user.created", "asc")


def test_a_dry_run_shows_what_matches_before_and_after(standin_api: StandIn) -> None:
    standin_api.answers["POST /subscriptions/dry-run"] = (200, bodies.dry_run())
    ran = hookline("subscriptions", "dry-run", "--event-type", "*", **standin_api.env)
    assert (ran.code, ran.err) == (0, "")
    for text in ("1,200 events (after 5 s; there are more)", "no such field", '"name": "Zoë"', "after, 30 bytes",
                 '"link": "/api/v1/events/evt_1"', "too long to be shown"):  # fmt: skip
        assert text in ran.out
    assert "name a subscription" in hookline("subscriptions", "dry-run", **standin_api.env).err
