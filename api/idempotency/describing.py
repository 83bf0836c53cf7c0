"""What OpenAPI says about `Idempotency-Key`: the same on every POST, so that no route has to remember it."""

from collections.abc import Iterable
from typing import Any, Final

from api.idempotency.answers import REPLAYED_HEADER
from api.idempotency.keys import KEY_HEADER, LONGEST_KEY
from api.problems import documented

_KEY: Final[dict[str, Any]] = {
    "name": KEY_HEADER,
    "in": "header",
    "required": False,
    "description": (
        "Names this request for 24 hours: sent again with the same key it is not done again, and gets the first answer "
        f"with `{REPLAYED_HEADER}: true`. 409 while the first is under way, 422 for another request under this key. An "
        "answer of 400 or more is not kept."
    ),
    "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY, "pattern": "^[!-~]+$"},
}
_REPLAYED: Final = {"description": "true: the answer of the first request.", "schema": {"type": "string"}}


def describe_key(posts: Iterable[dict[str, Any]]) -> None:
    """Add the header and what may come of it to the POSTs that take a key; adding it twice changes nothing."""
    for post in posts:
        if "security" not in post:  # open ones take no key
            continue
        parameters = post.setdefault("parameters", [])
        if _KEY not in parameters:
            parameters.append(_KEY)
        for status, answer in documented(409, 422, 503).items():
            post["responses"].setdefault(str(status), answer)
        for status, answer in post["responses"].items():
            if int(status) < 400:
                answer.setdefault("headers", {})[REPLAYED_HEADER] = _REPLAYED
