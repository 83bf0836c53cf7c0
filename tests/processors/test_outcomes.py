"""Which answers are success, which are failures, and which are the end."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.outcomes import ErrorKind, Outcome, kind_of_status

STARTED = datetime(2026, 11, 21, tzinfo=UTC)


def outcome(*, kind: ErrorKind | None = None, status: int | None = None, took: timedelta = timedelta(0)) -> Outcome:
    return Outcome(started_at=STARTED, ended_at=STARTED + took, error_kind=kind, status=status)


@given(st.integers(100, 999))
def test_only_2xx_is_success(status: int) -> None:
    assert kind_of_status(status) == (None if status in range(200, 300) else ErrorKind.HTTP)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_a_failure(status: int) -> None:
    assert kind_of_status(status) is ErrorKind.HTTP


@pytest.mark.parametrize(
    ("kind", "status", "is_final"),
    [
        (None, 204, True),
        (ErrorKind.HTTP, 410, True),  # gone for good (RFC 9110, 15.5.11)
        (ErrorKind.DELETED, None, True),
        (ErrorKind.HTTP, 404, False),  # may come back with the next deployment
        (ErrorKind.HTTP, 400, False),
        (ErrorKind.HTTP, 429, False),
        (ErrorKind.HTTP, 500, False),
        *((kind, None, False) for kind in ErrorKind if kind not in {ErrorKind.HTTP, ErrorKind.DELETED}),
    ],
)
def test_what_ends_a_round(kind: ErrorKind | None, status: int | None, is_final: bool) -> None:
    assert outcome(kind=kind, status=status).is_final is is_final


@pytest.mark.parametrize(
    ("took", "milliseconds"),
    [
        (timedelta(0), 0),  # nothing was sent
        (timedelta(microseconds=1), 1),
        (timedelta(milliseconds=1), 1),
        (timedelta(milliseconds=1, microseconds=1), 2),
        (timedelta(seconds=60), 60_000),
    ],
)
def test_a_duration_is_rounded_up_so_that_zero_means_nothing_was_sent(took: timedelta, milliseconds: int) -> None:
    assert outcome(took=took).duration_ms == milliseconds


def test_kinds_are_the_words_that_records_carry() -> None:
    assert {kind.value for kind in ErrorKind} == {
        "dns",
        "connect",
        "tls",
        "timeout",
        "http",
        "blocked",
        "disconnected",
        "protocol",
        "too_large",
        "unsendable",
        "deleted",
        "disabled",
        "held_too_long",
    }
