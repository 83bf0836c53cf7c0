"""Lists of the API: a table of the first rows for people, one array of all of them for programs."""

import sys
from collections.abc import Callable, Sequence
from typing import Final

from compose.asking import Api, Body, Params
from compose.showing.bodies import print_bodies

ROWS: Final = 25  # of a table that nobody gave a --limit


def print_list(
    api: Api, path: str, params: Params, *, limit: int | None, as_json: bool, show: Callable[[Sequence[Body]], None]
) -> Sequence[Body]:
    """Print a list and return the rows that a table showed; none for JSON, which is not held."""
    if as_json:
        print_bodies(api.rows(path, params, limit=limit))
        return ()
    most = limit or ROWS
    found = list(api.rows(path, params, limit=most + 1))
    if not found:
        print("none", file=sys.stderr)
        return ()
    show(found[:most])
    if len(found) > most:
        sys.stdout.flush()
        print(f"the first {most:,}; there are more: give --limit, or --json for all", file=sys.stderr)
    return found[:most]
