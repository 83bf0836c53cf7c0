"""The option that says which events a subscription wants of its types, and the field of a body that it becomes."""

from typing import Annotated, Final

import typer

DEFAULT: Final = "default"  # instead of filters: takes them away

Filter = Annotated[
    list[str] | None,
    typer.Option(
        "--filter",
        metavar="JSON|@FILE|CEL",
        help="Only events that it takes: a filter object, or an expression; repeat it: all must.",
    ),
]


def filters_of(given: list[str] | None) -> dict[str, object]:
    """Return the field `filters`; nothing when no option was given, null for `default`.

    What begins with `{` is a filter object, what begins with `@` names its file, anything else is a CEL expression.
    """
    if not given:
        return {}
    return {"filters": None if given == [DEFAULT] else [_filter(text) for text in given]}


def _filter(text: str) -> object:
    from compose.publishing import json_given
    from schemas.errors import InvalidInput

    if not text.lstrip().startswith(("{", "@")):
        return {"cel": text}
    try:
        return json_given(text, option="--filter")
    except InvalidInput as error:
        raise typer.BadParameter(error.detail) from None
