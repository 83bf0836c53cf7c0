"""Attempts for people: what was sent, what came back, and what of it was cut."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.text import Text

from compose.asking import Body
from compose.showing.tables import coloured, console, exact_time_of, number_of, print_fields
from compose.speakable import speakable

_INDENT: Final = 4


def print_attempts(attempts: Sequence[Body]) -> None:
    """Print attempts one under another; a body that was sent before is not printed again."""
    before: object = None
    for each in attempts:
        console().print()
        print_attempt(each, sent_before=before)
        before = (each["request"] or {}).get("body", before)


def print_attempt(attempt: Body, *, sent_before: object = None) -> None:
    """Print one attempt with its request and its answer."""
    console().print(_headline(attempt), soft_wrap=True)
    print_fields(
        [
            ("url", attempt["url"]),
            ("address", attempt["address"]),
            ("error", attempt["error"]),
            ("next attempt", exact_time_of(attempt["next_attempt_at"])),
            ("payload", f"version {version}" if (version := attempt["transformation_version"]) else None),
            ("worker", attempt["worker"]),
        ],
        indent=2,
    )
    request, response = attempt["request"], attempt["response"]
    if request is None:
        _print("  no request was made")
    else:
        _print("  request")
        _print_headers(request["headers"])
        if sent_before is not None and request["body"] == sent_before:
            _print("\nthe body of the attempt before", indent=_INDENT)
        elif request["body"] is None:
            _print(f"\n{number_of(request['body_bytes'])} bytes that the log does not hold any more", indent=_INDENT)
        else:
            _print_payload(request, of=f"of {number_of(request['body_bytes'])} bytes")
    if response is not None:
        _print(f"  answer {response['status']}")
        _print_headers(response["headers"])
        _print_payload(response, of="of the answer")
    elif request is not None:
        _print("  no answer")


def readable(payload: Mapping[str, Any]) -> str:
    """Return a body as text: JSON indented, other text as it is, base64 where it is no text."""
    body = str(payload["body"])
    if payload["body_encoding"] == "base64":
        return f"(no text; base64) {body}"
    try:
        return speakable(json.dumps(json.loads(body), ensure_ascii=False, indent=2))
    except ValueError:  # no JSON, or JSON that was cut
        return speakable(body)


def _headline(attempt: Body) -> Text:
    of_round = "" if attempt["round"] == "0" else f" of {attempt['round']}"
    status = None if attempt["response"] is None else attempt["response"]["status"]
    came_to = [str(status) if status else attempt["error_kind"], f"{number_of(attempt['duration_ms'])} ms"]
    text = Text(f"attempt {attempt['attempt']}{of_round}  ", style="bold").append(coloured(attempt["state"]))
    text.append(speakable(f"  {'  '.join(part for part in came_to if part)}  {exact_time_of(attempt['started_at'])}"))
    return text.append(f"  {attempt['id']}", style="dim")


def _print_headers(headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        _print(f"{speakable(name, keep='')}: {speakable(value, keep='')}", indent=_INDENT)


def _print_payload(payload: Mapping[str, Any], *, of: str) -> None:
    if payload["body"]:
        _print(f"\n{readable(payload)}", indent=_INDENT)
    if payload["truncated"]:
        _print(f"… cut here: these are the first 10 KB {of}", indent=_INDENT, style="yellow")


def _print(text: str, *, indent: int = 0, style: str = "") -> None:
    for line in text.split("\n"):
        console().print(Text(f"{' ' * indent}{line}".rstrip(), style=style), soft_wrap=True)
