"""`hookline events tail` prints each event once, also those that come late or with a clock that is wrong."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compose.asking import Api, Body
from compose.refusals import Refused
from compose.settings import ApiAddress
from compose.tailing import FAR, FAR_EVERY, NEAR, Window, tail
from tests.compose.standin import TOKEN, StandIn, problem

START = datetime(2026, 11, 21, 15, 0, tzinfo=UTC)


def event(at_s: float, number: int = 0) -> Body:
    """Return an event with the id of a clock that stands `at_s` seconds after START."""
    milliseconds = round((START.timestamp() + at_s) * 1000)
    return {"id": f"evt_{UUID(int=milliseconds << 80 | 7 << 76 | 2 << 62 | number).hex}"}


def look(window: Window, log: list[tuple[float, Body]], *, now_s: float) -> list[Body]:
    """Return what a look prints of a log of (filed at, event)."""
    since = (window.begin() - START).total_seconds()
    found = [event for at_s, event in sorted(log, key=lambda filed: (filed[0], filed[1]["id"])) if at_s >= since]
    fresh = window.fresh(found, now=START + timedelta(seconds=now_s))
    window.finish()
    return fresh


def test_prints_once_what_every_look_returns() -> None:
    window, log = Window(START), [(1.0, event(1))]
    assert look(window, log, now_s=1) == [event(1)]
    for second in range(2, 40):
        assert look(window, log, now_s=second) == []


def test_a_database_that_is_away_for_a_moment_does_not_end_it(
    standin_api: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compose.tailing._LOOK_EVERY_S", 0.0)
    newest = {**event(1), "type": "user.created"}
    page = (200, {"data": [newest], "next_cursor": None, "has_more": False})
    answers = iter([(200, {"data": [], "next_cursor": None, "has_more": False}), problem(503, "the database is away")])
    standin_api.answers["GET /events"] = lambda _: next(answers, page)
    said: list[str] = []
    with Api(ApiAddress(standin_api.url, TOKEN)) as api:
        tailed = tail(api, type=None, since=START.isoformat(), say=said.append)
        assert next(tailed) == newest
    assert ["the database is away" in line for line in said] == [True]


def test_a_token_that_is_refused_ends_it(standin_api: StandIn) -> None:
    standin_api.answers["GET /events"] = problem(401, "the token is not valid")
    with Api(ApiAddress(standin_api.url, TOKEN)) as api, pytest.raises(Refused):
        next(tail(api, type=None, since=START.isoformat(), say=print))


def test_looks_back_a_little_each_time_and_far_now_and_then() -> None:
    window = Window(START)
    begins = []
    for _ in range(FAR_EVERY + 1):
        begins.append(window.begin())
        window.fresh([event(100)], now=START + timedelta(seconds=100))
        window.finish()
    newest = START + timedelta(seconds=100)
    assert begins == [START, *[newest - NEAR] * (FAR_EVERY - 1), newest - FAR]


@pytest.mark.parametrize("late_s", [1.0, 30.0, 55.0])
def test_an_event_that_comes_late_is_printed_within_ten_looks(late_s: float) -> None:
    window, log = Window(START), [(100.0, event(100))]
    look(window, log, now_s=100)
    log.append((100.0 - late_s, event(100 - late_s)))
    printed = [each for second in range(FAR_EVERY) for each in look(window, log, now_s=101 + second)]
    assert printed == [event(100 - late_s)]


def test_a_clock_that_is_ahead_hides_nothing() -> None:
    window = Window(START)
    log = [(3600.0, event(3600))]  # an hour ahead, filed there
    assert look(window, log, now_s=1) == [event(3600)]
    log.append((2.0, event(2)))
    assert look(window, log, now_s=2) == [event(2)]


def test_an_id_of_1970_or_2999_that_is_filed_now_is_printed_once() -> None:
    old, far = {"id": "evt_" + UUID(int=7 << 76 | 2 << 62).hex}, event(973 * 365 * 86_400)
    window, log = Window(START), [(1.0, old), (1.0, far), (2.0, event(2))]
    printed = [each for second in range(30) for each in look(window, log, now_s=3 + second)]
    assert len(printed) == 3


def test_keeps_no_more_ids_than_a_far_look_returns() -> None:
    window = Window(START)
    log: list[tuple[float, Body]] = []
    for second in range(500):
        log.append((second, event(second)))
        look(window, log, now_s=second)
    assert len(window._seen) <= FAR.total_seconds() + FAR_EVERY + 1


@settings(max_examples=25)  # 270 looks each
@given(
    st.lists(st.tuples(st.floats(0, 200), st.floats(0, 45)), max_size=40),  # when it was made, how late it is filed
    st.integers(0, 20),
)
def test_everything_up_to_a_minute_late_is_printed_exactly_once(made: list[tuple[float, float]], more: int) -> None:
    window = Window(START - FAR)
    events = [(at_s, at_s + late_s, event(at_s, number)) for number, (at_s, late_s) in enumerate(made)]
    printed: list[str] = []
    for second in range(250 + FAR_EVERY + more):
        log = [(at_s, each) for at_s, visible_s, each in events if visible_s <= second]
        printed += [each["id"] for each in look(window, log, now_s=second)]
    assert sorted(printed) == sorted(each["id"] for _, _, each in events)
