"""The tables of permissions, roles and limits in docs/identity.md, written from `api/permissions.py`.

`python -m compose.permissions_table` (`make settings`) writes them between the document's markers; a test holds the two
to each other.
"""

from pathlib import Path
from typing import Final

from api.limits.defaults import DEFAULTS
from api.permissions import BUILT_IN_ROLES, MEANINGS, Permission, RateClass
from compose.marked import with_part

DOCUMENT: Final = Path(__file__).parents[1] / "docs" / "identity.md"
_CLASSES: Final = {
    RateClass.READING: "what changes nothing",
    RateClass.MANAGING: "what changes something, unless it is below",
    RateClass.TESTING: "test sends",
    RateClass.RETRYING: "deliveries sent again, records of the quarantine put back",
    RateClass.PUBLISHING: "events, those of a batch one by one",
    RateClass.OAUTH: "`/oauth/…`, by client and by address",
    RateClass.SIGNING_IN: "signing in, and links from e-mails, by address",
}


def permissions_table() -> str:
    """Return a Markdown table: each permission, what it allows, and which built-in roles have it."""
    roles = list(BUILT_IN_ROLES)
    head = ["permission", "allows to", *roles]
    rows = [[f"`{each}`", MEANINGS[each].words, *(_mark(each, role) for role in roles)] for each in Permission]
    return "\n".join(_row(cells) for cells in (head, ["---"] * len(head), *rows))


def limits_table() -> str:
    """Return a Markdown table: each class of requests, and how many a window."""
    rows = [[f"`{each}`", _CLASSES[each], f"{limit.most:,} in {limit.window_s} s"] for each, limit in DEFAULTS.items()]
    return "\n".join(_row(cells) for cells in (["class", "counts", "limit"], ["---"] * 3, *rows))


def written(document: str) -> str:
    """Return the document with today's tables; raises ValueError when it has no place for them."""
    return with_part(with_part(document, "permissions", permissions_table()), "limits", limits_table())


def _mark(permission: Permission, role: str) -> str:
    return "yes" if permission in BUILT_IN_ROLES[role] else ""


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    DOCUMENT.write_text(written(DOCUMENT.read_text()))
