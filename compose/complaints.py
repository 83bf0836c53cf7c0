"""What a command says when it fails: one line, and an exit code that scripts can go by."""

from enum import IntEnum

import typer

from schemas.errors import HooklineError


class ExitCode(IntEnum):
    """How a command ended; `hookline --help` lists them."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNHEALTHY = 3
    INTERRUPTED = 130  # 128 + SIGINT, as shells have it


class Interrupted(HooklineError):
    """Ctrl-C while something was watched; the text says what goes on without us. A bare one says nothing at all."""


def complaint_of(error: BaseException) -> tuple[ExitCode, str]:
    """Return the exit code for what a command raised, and the line that says it, without secrets."""
    code, text = _judged(error)
    return code, _one_line(text)


def _judged(error: BaseException) -> tuple[ExitCode, str]:
    if isinstance(error, KeyboardInterrupt | typer.Abort):  # Abort: Ctrl-C or Ctrl-D at a question
        return ExitCode.INTERRUPTED, "interrupted"
    said = getattr(error, "format_message", None)  # typer's usage errors, wherever its version keeps their class
    if callable(said):
        return ExitCode.USAGE, f"{said()} ({_help_of(error)} tells more)"
    if isinstance(error, Interrupted):
        return ExitCode.INTERRUPTED, str(error)
    if isinstance(error, HooklineError):
        return (ExitCode.USAGE if _is_about_what_was_given(error) else ExitCode.FAILED), str(error)
    return (
        _of_pydantic(error)
        or _of_kafka(error)
        or (
            ExitCode.FAILED,
            f"unexpected {type(error).__name__}: {error} (`hookline --debug …` shows where)",
        )
    )


def _is_about_what_was_given(error: HooklineError) -> bool:
    from compose.refusals import Refused
    from compose.settings import SettingsError
    from producers.secret_settings import UnfitSettings

    if isinstance(error, Refused):
        return error.is_about_what_was_given
    return isinstance(error, SettingsError | UnfitSettings)


def _of_pydantic(error: BaseException) -> tuple[ExitCode, str] | None:
    from pydantic import ValidationError
    from pydantic_settings import SettingsError as UnreadableSetting

    from compose.settings import explained

    if isinstance(error, ValidationError):
        return ExitCode.USAGE, explained(error)
    return (ExitCode.USAGE, str(error)) if isinstance(error, UnreadableSetting) else None


def _of_kafka(error: BaseException) -> tuple[ExitCode, str] | None:
    said = unfit_for_kafka(error)
    return None if said is None else (ExitCode.USAGE, said)


def unfit_for_kafka(error: BaseException) -> str | None:
    """Return what is wrong with the KAFKA_… settings, None when `error` is about something else.

    Some of it only librdkafka finds, when a client is made: a user without a password, a file without a certificate.
    """
    from confluent_kafka import KafkaError, KafkaException

    if not isinstance(error, KafkaException) or error.args[0].code() != KafkaError._INVALID_ARG:  # noqa: SLF001 - public
        return None
    return f"the KAFKA_… settings do not hold: {error.args[0].str()}"


def _help_of(error: BaseException) -> str:
    context = getattr(error, "ctx", None)
    return f"`{context.command_path if context is not None else 'hookline'} --help`"


def _one_line(text: str) -> str:
    from compose.logs import masked

    first = text.strip().partition("\n")[0]
    return masked(first.encode(errors="backslashreplace")).decode()
