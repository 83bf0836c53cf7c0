"""Sensitive fields never leave: they are removed when an event is published and again when it is routed."""

import re
from typing import Final

Json = dict[str, "Json"] | list["Json"] | str | int | float | bool | None

# Whole words of a name, whatever its case style: `password`, `newPassword`, `api_key`, `X-Api-Key`, `refreshTokens`.
# `token_count` and `secretary` stay: a count is no token, and a word is matched whole.
_SENSITIVE: Final = re.compile(
    r"(?:^|_)(?:passwords?|passwd|passphrase|pwd|secrets?|tokens?|api_?keys?|private_?keys?|access_?keys?|credentials?"
    r"|authorization|otp|totp|recovery_?codes?|backup_?codes?|cvv|cvc)(?:_(?:hash|digest|value|plain|plaintext|encrypted|new|old|\d+))?$"
)
_CASE_BREAK: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def is_sensitive(name: str) -> bool:
    """Return whether a field of this name holds a password, a token or a secret."""
    snake = _CASE_BREAK.sub("_", name).lower().replace("-", "_").replace(" ", "_").replace(".", "_")
    return _SENSITIVE.search(snake) is not None


def without_sensitive(value: Json) -> Json:
    """Return a copy of a JSON value with every sensitive field removed, at any depth."""
    if isinstance(value, dict):
        return {name: without_sensitive(item) for name, item in value.items() if not is_sensitive_cached(name)}
    if isinstance(value, list):
        return [without_sensitive(item) for item in value]
    return value


_verdicts: dict[str, bool] = {}
_MOST_VERDICTS: Final = 10_000  # names are few; a publisher that makes them up must not fill the memory


def is_sensitive_cached(name: str) -> bool:
    """Return `is_sensitive(name)`, remembered: names repeat with every event."""
    verdict = _verdicts.get(name)
    if verdict is None:
        verdict = is_sensitive(name)
        if len(_verdicts) < _MOST_VERDICTS:
            _verdicts[name] = verdict
    return verdict
