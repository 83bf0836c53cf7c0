"""What commands print for people: whole ids, at most 100 columns, nothing that steers a terminal."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from compose.asking import Body
from compose.showing.attempts import print_attempts, readable
from compose.showing.deliveries import print_deliveries, print_delivery
from compose.showing.events import print_event, print_event_line, print_events
from compose.showing.quarantine import print_record, print_records
from compose.showing.quarantine import readable as readable_bytes
from compose.showing.replays import chosen_by, print_items, print_replay, print_replays
from compose.showing.standing import print_lag
from compose.showing.stats import print_stats
from compose.showing.subscriptions import print_subscription, print_subscriptions
from compose.speakable import speakable
from tests.compose import bodies
from tests.compose.bodies import DELIVERY_ID, EVENT_ID, REPLAY_ID, SUBSCRIPTION_ID

STATS: Body = {
    "subscriptions": 3, "active": 2, "deliveries": 12_345, "success_rate": 0.98765, "failures": 12,
    "average_duration_ms": 84.5, "p95_duration_ms": None, "pending": 0, "retrying": 4, "dead": 12, "held": 1,
    "days": [{"day": "2026-11-21", "success": 1_000, "failed": 2, "retrying": 3}],
}  # fmt: skip
ITEM = {"delivery_id": DELIVERY_ID, "subscription_id": SUBSCRIPTION_ID, "event_id": EVENT_ID, "state": "skipped",
        "detail": "the subscription was deleted meanwhile, and what it missed is kept", "sent_at": None,
        "finished_at": None}  # fmt: skip


@pytest.mark.parametrize("terminal", ["60", "100", "250"])
@pytest.mark.parametrize(
    ("show", "row", "ids"),
    [
        (print_subscriptions, bodies.subscription(), [SUBSCRIPTION_ID]),
        (print_deliveries, bodies.delivery(), [DELIVERY_ID, SUBSCRIPTION_ID, EVENT_ID]),
        (print_events, bodies.event(type="user.email_change_requested", source_id="x" * 80, key="k" * 90), [EVENT_ID]),
        (print_replays, bodies.replay(), [REPLAY_ID]),
        (print_items, ITEM, [DELIVERY_ID, SUBSCRIPTION_ID]),
        (print_records, bodies.record(), [bodies.QUARANTINE_ID]),
    ],
)  # fmt: skip
def test_tables_fit_100_columns_and_cut_no_id(  # noqa: PLR0917
    show: Callable[[Sequence[Body]], None],
    row: Body,
    ids: list[str],
    terminal: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", terminal)
    show([row, row])
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 100
    assert "…" not in out
    for identifier in ids:
        assert out.count(identifier) == 2


def test_times_are_utc_and_a_delivery_says_what_it_came_to(capsys: pytest.CaptureFixture[str]) -> None:
    print_deliveries([bodies.delivery(last_attempt_at="2026-11-21T01:30:00+02:00", status=503)])
    out = capsys.readouterr().out
    assert "2026-11-20 23:30:00" in out
    assert "failed 7× 503" in out


def test_a_delivery_shows_its_attempts_one_under_another(capsys: pytest.CaptureFixture[str]) -> None:
    second = bodies.attempt(attempt=2, state="success", error_kind=None, error=None)
    print_delivery(bodies.delivery(attempts=[bodies.attempt(), second]))
    out = capsys.readouterr().out
    first, _, rest = out.partition("attempt 2 ")
    assert "attempt 1  failed  http  84 ms" in first or "attempt 1  failed  503  84 ms" in first
    assert '        "name": "Zoë"' in first  # indented as JSON
    assert "    webhook-signature: ***" in first
    assert "answer 503" in first
    assert "try later" in first
    assert "the body of the attempt before" in rest
    assert '"name"' not in rest


def test_what_was_cut_and_what_was_not_made_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    cut = bodies.attempt()
    cut["request"] |= {"body": '{"id":"evt', "body_bytes": 20_480, "truncated": True}
    cut["response"] |= {"body": "/w==", "body_encoding": "base64", "truncated": True}
    gone = bodies.attempt()
    gone["request"] |= {"body": None}
    print_attempts([cut, gone, bodies.attempt(request=None, response=None, error_kind="disabled", attempt=0)])
    out = capsys.readouterr().out
    assert "cut here: these are the first 10 KB of 20,480 bytes" in out
    assert "cut here: these are the first 10 KB of the answer" in out
    assert '{"id":"evt' in out
    assert "(no text; base64) /w==" in out
    assert "37 bytes that the log does not hold any more" in out
    assert "no request was made" in out


HOSTILE = "\x1b]0;owned\x07\x9b2J\u202e[red]\r"


def test_a_receiver_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = bodies.attempt(error=HOSTILE)
    hostile["response"] |= {"body": HOSTILE, "headers": {"x-a": HOSTILE, HOSTILE: "b"}}
    print_delivery(bodies.delivery(attempts=[hostile], key=HOSTILE, error=HOSTILE, event_type=HOSTILE))
    print_deliveries([bodies.delivery(event_type=HOSTILE, state=HOSTILE)])
    print_subscriptions([bodies.subscription(url=HOSTILE)])
    print_subscription(bodies.subscription(description=HOSTILE))
    print_event(bodies.event(data={"a": HOSTILE}, deliveries=[]))
    print_event_line(bodies.event(data={"a": HOSTILE}, key=f"{HOSTILE}\n"))
    print_records([bodies.record(error_class=HOSTILE)])
    print_record(bodies.record(error=HOSTILE, headers=[{"name": HOSTILE, "value": HOSTILE}]))
    out = capsys.readouterr().out
    assert "[red]" in out  # no markup either
    assert not set(out) & set("\x1b\x07\x9b\u202e\r")


@pytest.mark.parametrize(
    ("text", "spoken"),
    [("a\tb\nc", "a\tb\nc"), ("a\r\nb", "a\nb"), ("\x1b", "\\x1b"), ("\x00\x7f\x85", "\\x00\\x7f\\x85"),
     ("\u2066x\u2028", "\\u2066x\\u2028"), ("Zoë 🐝", "Zoë 🐝"), ("\ud800", "\\ud800")],
)  # fmt: skip
def test_what_is_not_printable_is_written_out(text: str, spoken: str) -> None:
    assert speakable(text) == spoken


def test_an_events_line_is_one_line_with_all_of_its_data(capsys: pytest.CaptureFixture[str]) -> None:
    print_event_line(bodies.event(data={"text": "a\nb", "long": "x" * 500}))
    [line] = capsys.readouterr().out.splitlines()
    assert line.startswith(f"2026-11-21 09:30:00.120Z  {EVENT_ID}  user.created  user_1  {{")
    assert "x" * 500 in line


def test_an_event_says_what_became_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    became = {"delivery_id": DELIVERY_ID, "subscription_id": SUBSCRIPTION_ID, "state": "success", "attempt_count": 2,
              "status": 204, "error_kind": None, "finished_at": bodies.AT}  # fmt: skip
    print_event(bodies.event(deliveries=[became], previous={"id": "user_0"}))
    out = capsys.readouterr().out
    assert "success 2× 204" in out
    assert '"user_0"' in out
    assert max(map(len, out.splitlines())) <= 100


def test_how_it_is_sent_to_is_shown_where_it_is_not_as_usual(capsys: pytest.CaptureFixture[str]) -> None:
    print_subscription(bodies.subscription())
    usual = capsys.readouterr().out
    assert not any(
        name in usual for name in ("rate limit", "in flight", "ordering", "signature", "addresses", "paused")
    )
    print_subscription(
        bodies.subscription(
            state="paused", paused_at=bodies.AT, rate_limit={"limit": 1000, "per": "minute"}, max_in_flight=4,
            catch_up_rate_per_s=12.5, ordering="strict", on_exhaustion="block", allowed_addresses=["8.8.8.0/24"],
            signature={"style": "hex", "header": "X-S"}, event_type_header="X-E", delivery_id_header="X-D",
        )
    )  # fmt: skip
    lines = {" ".join(line.split()) for line in capsys.readouterr().out.splitlines()}
    assert {
        "state paused", "paused 2026-11-21 09:30:00.120Z", "rate limit 1,000 a minute", "in flight at most 4",
        "catches up at 12.5 a second", "ordering strict, on exhaustion block", "addresses 8.8.8.0/24",
        "signature hex, in X-S", "event type header X-E", "delivery id header X-D",
    } <= lines  # fmt: skip


def test_a_lag_says_how_much_waits_where_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    print_lag(bodies.lag())
    out = capsys.readouterr().out
    assert "1,200" in out
    assert "open since 2026-11-21 09:30:00.120Z, nothing before 2026-11-21 09:30:00.120Z, 2 keys parked" in out
    assert EVENT_ID in out
    print_lag(bodies.lag(count=0, where=[], held={"count": 0, "oldest": None}, behind=None, oldest=None,
                         oldest_event_id=None))  # fmt: skip
    assert capsys.readouterr().out.split() == ["undelivered", "0"]


def test_a_secret_is_shown_where_the_api_gives_it(capsys: pytest.CaptureFixture[str]) -> None:
    print_subscription(bodies.subscription(secret="whsec_AAAA"))
    out = capsys.readouterr().out
    assert "whsec_AAAA" in out
    assert "not shown again" in out


@pytest.mark.parametrize(
    ("payload", "shown"),
    [
        ({"data": "aGVsbG8K", "truncated": False}, "hello\n"),
        ({"data": "", "truncated": False}, ""),
        ({"data": "wwEA", "truncated": True},
         "00000000  c3 01 00                                         ...\n… cut here"),
    ],
)  # fmt: skip
def test_a_records_bytes_are_text_or_a_dump(payload: dict[str, Any], shown: str) -> None:
    assert readable_bytes(payload) == shown


def test_a_body_that_is_no_json_stays_as_it_is() -> None:
    assert readable({"body": "{a: 1}", "body_encoding": "utf-8"}) == "{a: 1}"


def test_a_replay_says_what_it_sends_in_the_words_of_options(capsys: pytest.CaptureFixture[str]) -> None:
    asked = {"subscription_id": "sub_1", "event_types": ["a", "b"], "state": "held", "since": bodies.AT, "until": None}
    assert chosen_by(bodies.replay(filter=asked)) == (
        f"--state held --subscription sub_1 --since {bodies.AT} --event-type a --event-type b"
    )
    assert chosen_by(bodies.replay(is_retry=True)) == "one delivery, by hand"
    print_replay(bodies.replay(failed=2))
    out = capsys.readouterr().out
    assert "failed" in out
    assert "skipped" not in out


def test_totals_are_readable(capsys: pytest.CaptureFixture[str]) -> None:
    print_stats(STATS)
    out = capsys.readouterr().out
    assert "12,345" in out
    assert "98.77%" in out  # 98.765 rounds up
    assert "84 ms" in out
    assert "2026-11-21  1,000" in out
    print_stats({**STATS, "consecutive_failures": 4})
    assert "consecutive failures  4" in capsys.readouterr().out
