"""Logs as they leave: in a process of their own, because loggers remember where they write."""

import json
import subprocess
import sys

import pytest

from compose.logs import masked
from tests.compose.shell import ROOT, environment

_BEFORE = """
import logging, sys, structlog, warnings
from compose.logs import configure_logs
configure_logs(sys.stdout, level={level!r})
log = structlog.get_logger("compose.test")
"""


def logged(body: str, *, level: str = "info") -> list[dict[str, object]]:
    """Return the lines that a program logs, each as the JSON object that it is."""
    program = _BEFORE.format(level=level) + body
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, env=environment(), cwd=ROOT, timeout=30, check=True
    )
    assert ran.stderr == b"", ran.stderr.decode()
    return [json.loads(line) for line in ran.stdout.splitlines()]


def test_an_event_is_a_line_with_time_level_and_logger() -> None:
    [line] = logged("log.info('delivery.attempted', attempt=1, status=None)")
    assert line.pop("timestamp", "").endswith("Z")  # type: ignore[attr-defined] # JSON
    assert line == {
        "event": "delivery.attempted", "level": "info", "logger": "compose.test", "attempt": 1, "status": None,
    }  # fmt: skip


def test_what_is_below_the_level_is_not_logged() -> None:
    levels = "for level in ('debug', 'info', 'warning', 'error'): getattr(log, level)('x')"
    assert [line["level"] for line in logged(levels, level="warning")] == ["warning", "error"]


def test_libraries_log_in_the_same_format_from_warning_on() -> None:
    lines = logged("""
for name in ("faust", "aiokafka.consumer", "uvicorn.error", "librdkafka"):
    logging.getLogger(name).info("quiet %s", 1)
    logging.getLogger(name).log(35, "between %s", 100 % 30)
warnings.warn("old", DeprecationWarning)
""")
    assert [(line["logger"], line["level"], line["event"]) for line in lines[:4]] == [
        (name, "warning", "between 10") for name in ("faust", "aiokafka.consumer", "uvicorn.error", "librdkafka")
    ]


def test_a_library_that_cannot_format_its_own_record_breaks_nothing() -> None:
    program = _BEFORE.format(level="info") + "logging.getLogger('x').error('%d', 'no number'); log.info('after')"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, env=environment(), cwd=ROOT, check=True)
    assert b'"after"' in ran.stdout


def test_secrets_are_masked_by_their_names_at_any_depth() -> None:
    [line] = logged("""
log.info("x", password="p1", api_key="p2", headers={"Authorization": "p3", "n": [{"refresh_token": "p4"}]},
         token_count=3, event_id="evt_1")
""")
    assert not any(secret in json.dumps(line) for secret in ("p1", "p2", "p3", "p4"))
    assert line["token_count"] == 3
    assert line["event_id"] == "evt_1"


def test_secrets_are_masked_by_their_look_wherever_they_stand() -> None:
    lines = logged("""
log.info("made whsec_QUJDREVG/+=x", note="whsec_QUJDREVG")
logging.getLogger("lib").error("postgresql://me:hidden@db/x")
try:
    raise ValueError("whsec_QUJDREVG")
except ValueError:
    log.exception("failed")
""")
    text = json.dumps(lines)
    assert "QUJDREVG" not in text
    assert "hidden" not in text
    assert "ValueError" in str(lines[2]["exception"])


@pytest.mark.parametrize(
    "value", ["object()", r"'\ud800'", "2**70", "{1: 2}", "{(1, 2): 3}", "{1, 2}", "b'bytes'", "float('nan')"]
)
def test_nothing_that_is_logged_raises(value: str) -> None:
    lines = logged(f"log.info('odd', value={value}); log.info('after')")
    assert [line["event"] for line in lines] == ["odd", "after"]


def test_an_exception_is_given_as_object_or_as_the_one_at_hand() -> None:
    lines = logged("log.error('a', exc_info=KeyError('k')); log.error('b', exc_info=None); log.error('c')")
    assert "KeyError" in str(lines[0]["exception"])
    assert "exception" not in lines[1]
    assert "exception" not in lines[2]


def test_a_line_without_secrets_stays_as_it_is() -> None:
    line = b'{"url":"https://example.com/a@b","mail":"me@example.com"}'
    assert masked(line) == line


def test_a_terminal_gets_colours_and_the_same_masks() -> None:
    program = """
import io, structlog
from compose.logs import configure_logs
class Terminal(io.TextIOWrapper):
    def isatty(self): return True
raw = io.BytesIO()
configure_logs(Terminal(raw))
def fails(local): raise ValueError("whsec_QUJDREVG")
try: fails("hidden" + "-local")
except ValueError: structlog.get_logger("t").exception("failed", password="p1")
import sys; sys.stdout.buffer.write(raw.getvalue())
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, env=environment(), cwd=ROOT, check=True)
    assert b"\x1b[" in ran.stdout
    assert b"ValueError" in ran.stdout
    assert b"QUJDREVG" not in ran.stdout
    assert b"p1" not in ran.stdout
    assert b"hidden-local" not in ran.stdout  # rich's tracebacks would show it
