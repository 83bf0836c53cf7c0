"""What the API said instead of an answer, as the one line of a command that failed."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from compose.speakable import speakable
from schemas.errors import HooklineError

_ABOUT_WHAT_WAS_GIVEN: Final = {400, 401, 413, 415, 422}
_CONFLICT: Final = 409
_PASSING: Final = {429, 502, 503, 504}  # of the API while its database is away, and of the proxy before it
_DOCUMENTS: Final = ("schema", "example")  # options that take JSON: a pointer into it is told beside the option
# Options have the names of REST, in the singular where they may be repeated; these are the others.
_OPTIONS: Final = {
    "Hookline-Organization": "--organization",
    "Authorization": "HOOKLINE_ADMIN_TOKEN",
    "subscription_id": "--subscription",
    "event_types": "--event-type",
    "filters": "--filter",
    "headers": "--header",
    "timeout_s": "--timeout",
    "rate_per_s": "--rate",
    "catch_up_rate_per_s": "--catch-up-rate",
    "allowed_addresses": "--allow-address",
    "signature/header": "--signature-header",
    "url": "URL",
    "ids": "ID",
    "cursor": "cursor",
}


class ApiAway(HooklineError):
    """Nobody answers where the API should be, or not in time."""

    may_pass: Final = True


class Refused(HooklineError):
    """The API answered with something else than what was asked for."""

    def __init__(self, text: str, *, status: int) -> None:
        super().__init__(text)
        self.status = status

    @property
    def is_about_what_was_given(self) -> bool:
        """Whether the command line or a setting does not hold, and another try would say the same."""
        return self.status in _ABOUT_WHAT_WAS_GIVEN

    @property
    def may_pass(self) -> bool:
        """Whether who looks again and again has only to look once more."""
        return self.status in _PASSING


def refusal_of(status: int, document: object, *, url: str) -> Refused:
    """Return the error for an answer that is no 2xx; `document` is its JSON, None when it had none.

    Pointers and parameters of a problem document (RFC 9457) become the names of options. What is no problem document
    did not come from the API: then the text says where we asked.
    """
    if not isinstance(document, Mapping) or "detail" not in document:
        return Refused(f"{url} answered {status}, which the API does not: check HOOKLINE_API_URL", status=status)
    flaws = document.get("errors")
    has_flaws = isinstance(flaws, Sequence) and flaws and status != _CONFLICT  # whose detail says what to do
    said = _flaws_of(flaws or ()) if has_flaws else str(document["detail"])
    request = f" (request {document.get('request_id')})" if status >= 500 else ""
    return Refused(speakable(f"{said}{request}", keep=""), status=status)


def option_of(flaw: Mapping[str, Any]) -> str:
    """Return what the user wrote that a flaw of a problem document is about: an option, or "" for the whole body."""
    pointer = str(flaw.get("pointer") or "")
    name = pointer.split("/")[1] if pointer.startswith("/") else flaw.get("parameter") or flaw.get("header") or pointer
    return (
        _OPTIONS.get(pointer.removeprefix("/")) or _OPTIONS.get(name) or (f"--{name.replace('_', '-')}" if name else "")
    )


def _flaws_of(flaws: Sequence[Any]) -> str:
    return "; ".join(_flaw(flaw) for flaw in flaws if isinstance(flaw, Mapping))


def _flaw(flaw: Mapping[str, Any]) -> str:
    option, detail = option_of(flaw), str(flaw.get("detail", ""))
    document, _, within = str(flaw.get("pointer") or "").removeprefix("/").partition("/")
    if document in _DOCUMENTS and within:
        option = f"{option} /{within}"
    return f"{option}: {detail}" if option else detail
