"""Logs: JSON lines, or colours on a terminal; one format for structlog's events and those of `logging`.

Our own events never pass `logging`. Faust's, aiokafka's, uvicorn's and librdkafka's do; they leave in the same format.
Secrets are masked twice: by the names of fields, and in the finished line by what they look like.
"""

import json
import logging
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, BinaryIO, Final, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from schemas.redaction import is_sensitive_cached

LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}
MASK: Final = "***"
_SIGNING_SECRET: Final = re.compile(rb"whsec_[A-Za-z0-9+/=_-]+")
_URL_PASSWORD: Final = re.compile(rb"(://[^:/@\s\"]*):[^@/\s\"]+@")
_CONTAINERS: Final = frozenset((dict, list, tuple))
_JSON: Final = orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS


def configure_logs(stream: TextIO, *, level: str = "info") -> None:
    """Send what is logged from `level` on, a name in LEVELS, to `stream`; call it once, before the first event."""
    number = LEVELS[level]
    structlog.configure(
        processors=processors(colours=stream.isatty()),
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=LineLoggers(stream),
        cache_logger_on_first_use=True,
    )
    foreign = logging.INFO if number <= logging.DEBUG else max(number, logging.WARNING)
    logging.basicConfig(handlers=[ForeignHandler()], level=foreign, force=True)
    logging.captureWarnings(capture=True)


def processors(*, colours: bool) -> Sequence[Processor]:
    """Return what an event passes on its way to bytes."""
    if not colours:
        return [structlog.contextvars.merge_contextvars, json_line]
    # Not rich's tracebacks, its default here: they show local variables, secrets among them.
    console = structlog.dev.ConsoleRenderer(colors=True, exception_formatter=structlog.dev.plain_traceback)

    def coloured_line(logger: WrappedLogger, method: str, event: EventDict) -> bytes:
        exc_info = event.pop("exc_info", None)
        rendered = console(logger, method, {**_without_secrets(event), "exc_info": exc_info})
        return masked(rendered.encode(errors="backslashreplace"))

    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        _add_logger,
        structlog.processors.TimeStamper("%H:%M:%S", utc=False),
        coloured_line,
    ]


def json_line(logger: WrappedLogger, method: str, event: EventDict) -> bytes:
    """Return an event as a line of JSON. One function and not six: each would cost a wide line another half µs."""
    for name in _sensitive_among(tuple(event)):
        event[name] = MASK
    for name, value in event.items():
        if type(value) in _CONTAINERS:
            event[name] = _without_secrets(value)
    if event.get("exc_info"):
        structlog.processors.format_exc_info(logger, method, event)
    else:
        event.pop("exc_info", None)
    event["level"] = method
    event["logger"] = logger.name
    event["timestamp"] = datetime.now(UTC)  # orjson writes it, faster than isoformat()
    try:
        return masked(orjson.dumps(event, default=repr, option=_JSON))
    except TypeError:  # lone surrogates, numbers beyond 64 bits: nothing that is logged may raise
        return masked(json.dumps(event, default=str, skipkeys=True).encode())


class LineLogger(structlog.BytesLogger):
    """Writes finished lines; knows whose they are."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        super().__init__(file)
        self.name = name


class LineLoggers:
    """Makes a LineLogger for `structlog.get_logger(name)`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream  # held, or it closes its buffer when it is collected

    def __call__(self, *names: object) -> LineLogger:
        """Return the logger of the first name."""
        return LineLogger(self._stream.buffer, str(names[0]) if names else "")


class ForeignHandler(logging.Handler):
    """Hands what libraries log to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log a record anew; what cannot be formatted is told to stderr, as `logging` does it."""
        try:
            # Between its levels `logging` has room for more (mode's, Faust's); structlog has not.
            level = min(max(record.levelno // 10 * 10, logging.DEBUG), logging.CRITICAL)
            structlog.get_logger(record.name).log(level, record.getMessage(), exc_info=record.exc_info or None)
        except Exception:  # noqa: BLE001 - logging must not break what logs; stderr gets it
            self.handleError(record)


def masked(line: bytes) -> bytes:
    """Return a finished line without signing secrets and without passwords in URLs, wherever they stand in it."""
    if b"whsec_" in line:
        line = _SIGNING_SECRET.sub(b"whsec_" + MASK.encode(), line)
    if b"://" in line and b"@" in line:
        line = _URL_PASSWORD.sub(rb"\1:" + MASK.encode() + b"@", line)
    return line


def _add_logger(logger: WrappedLogger, _: str, event: EventDict) -> EventDict:
    event["logger"] = logger.name
    return event


@lru_cache(1024)
def _sensitive_among(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if is_sensitive_cached(name))


def _without_secrets(value: Any) -> Any:  # anything can be logged
    if isinstance(value, dict):
        return {
            name: MASK if is_sensitive_cached(str(name)) else _without_secrets(item) for name, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_without_secrets(item) for item in value]
    return value
