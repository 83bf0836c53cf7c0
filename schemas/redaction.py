"""Sensitive fields never leave: they are removed when an event is published and again when it is routed."""

import re
import unicodedata
from typing import Final

from schemas.errors import InvalidInput
from schemas.json_values import DEEPEST, TOO_DEEP, Json

__all__ = ["Json", "is_sensitive", "is_sensitive_cached", "without_sensitive"]

# Whole words of a name, whatever its case style: `password`, `newPassword`, `api_key`, `X-Api-Key`, `refreshTokens`.
# Some are written as one word too, as CloudEvents' attributes are: `accesstoken`.
# `token_count` and `secretary` stay: a count is no token, and a word is matched whole.
_SENSITIVE: Final = re.compile(
    r"(?:^|_)(?:(?:access|refresh|id|auth|bearer|session|csrf|client|user|new|old|current)?"
    r"(?:pass_?words?|passwd|secrets?|tokens?)"
    r"|pass_?phrases?|pass_?codes?|pwd|credentials?|authorization|jwt"
    r"|(?:api|private|access|secret|signing|encryption)_?keys?|otp|totp|cvv|cvc"
    r"|(?:recovery|backup|verification|authorization|otp|totp|mfa)_?codes?)"
    r"(?:_?\d+)?(?:_(?:hash|hashed|digest|salt|value|plain|plaintext|encrypted|new|old|confirm|confirmation|\d+))?$"
)
_CASE_BREAK: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_SEPARATORS: Final = re.compile(r"[^a-z0-9]+")  # whatever stands between words: `user[password]`, `api key`, `$token`


def is_sensitive(name: str) -> bool:
    """Return whether a field of this name holds a password, a token or a secret."""
    plain = unicodedata.normalize("NFKC", name)  # full-width letters read as letters do
    snake = _SEPARATORS.sub("_", _CASE_BREAK.sub("_", plain).lower()).strip("_")
    return _SENSITIVE.search(snake) is not None


def without_sensitive(value: Json) -> Json:
    """Return a copy of a JSON value with every sensitive field removed, at any depth.

    Raises InvalidInput for more than 100 levels: what comes from another client must not exhaust the stack.
    """
    return _without_sensitive(value, 1)


def _without_sensitive(value: Json, level: int) -> Json:
    if not isinstance(value, dict | list | tuple):
        return value
    if level > DEEPEST:
        raise InvalidInput(TOO_DEEP)
    if isinstance(value, dict):
        kept = {}
        for name, item in value.items():
            if not is_sensitive_cached(name):
                kept[name] = _without_sensitive(item, level + 1)
        return kept
    return [_without_sensitive(item, level + 1) for item in value]  # a tuple too: orjson writes it as an array


_verdicts: dict[str, bool] = {}
_MOST_VERDICTS: Final = 10_000  # names are few; a publisher that makes them up must not fill the memory
_LONGEST_REMEMBERED: Final = 100


def is_sensitive_cached(name: str) -> bool:
    """Return `is_sensitive(name)`, remembered: names repeat with every event."""
    verdict = _verdicts.get(name)
    if verdict is None:
        verdict = is_sensitive(name)
        if len(_verdicts) < _MOST_VERDICTS and len(name) <= _LONGEST_REMEMBERED:
            _verdicts[name] = verdict
    return verdict
