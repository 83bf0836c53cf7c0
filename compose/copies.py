"""Committed copies of what the code says of itself: tests hold them to it, and `make` writes them anew."""

import difflib
from pathlib import Path
from typing import Final

from schemas.errors import HooklineError

_MOST_LINES: Final = 40


class DescriptionDiffers(HooklineError):
    """A copy of a description is not what the code says."""


def check_same(path: Path, made: str, *, target: str) -> None:
    """Raise DescriptionDiffers, with the first lines that differ, unless the file at `path` holds what was `made`.

    `target` is the make target that writes it.
    """
    kept = path.read_text(encoding="utf-8") if path.exists() else ""
    if kept != made:
        lines = difflib.unified_diff(kept.splitlines(), made.splitlines(), str(path), "the code", lineterm="", n=1)
        differing = "\n".join([*lines][:_MOST_LINES])
        raise DescriptionDiffers(f"{path} is not what the code says: run `make {target}`\n{differing}")
