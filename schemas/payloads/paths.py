"""Paths to fields of an event, and a body with some of its fields only, without some, or with some masked.

A path is written with dots (`data.items.*.price`) or, for names that have dots in them, as a JSON pointer (RFC 6901:
`/data/first.name`). It begins with `data`, `previous` or `metadata`; `*` stands for every item of an array and every
member of an object. A path takes all that is below it.
"""

import re
from collections.abc import Iterable
from typing import Final

from schemas.errors import InvalidInput
from schemas.json_values import DEEPEST, Json

ROOTS: Final = ("data", "previous", "metadata")  # what the publisher brought; the rest is the envelope
LONGEST_PATH: Final = 300  # characters
MASK: Final = "***"
_EVERY: Final = "*"
_TILDE: Final = re.compile(r"~(?![01])")

Path = tuple[str, ...]


class Tree(dict[str, "Tree"]):
    """Paths by their first names; one without any names takes all that is there. `*` has no names beside it."""


def path_of(text: str, *, pointer: str = "") -> Path:
    """Return the names in a path; raises InvalidInput when it is none."""
    if len(text) > LONGEST_PATH:
        raise InvalidInput(f"a path has at most {LONGEST_PATH} characters", pointer=pointer)
    names = _pointed(text, pointer) if text.startswith("/") else tuple(text.split("."))
    if "" in names and not text.startswith("/"):
        raise InvalidInput("write it as data.user.email, or as a JSON pointer: /data/user/email", pointer=pointer)
    if names[0] not in ROOTS:
        raise InvalidInput(f"a path begins with one of {', '.join(ROOTS)}: the envelope stays whole", pointer=pointer)
    if len(names) > DEEPEST:
        raise InvalidInput(f"a path has at most {DEEPEST} names", pointer=pointer)
    return names


def tree_of(paths: Iterable[Path], *, pointer: str = "") -> Tree:
    """Return one or more paths as a tree.

    Raises InvalidInput for a name beside a `*`: with both, what a body costs could grow with the product of paths.
    """
    tree = Tree()
    for place, path in enumerate(paths):
        try:
            _add(tree, path)
        except InvalidInput as error:
            raise InvalidInput(error.detail, pointer=f"{pointer}/{place}") from None
    return tree


def only(value: Json, tree: Tree) -> Json:
    """Return a JSON value with nothing but what the tree takes, in its order.

    Objects and arrays on the way to a field stay, also when the field is not there; anything else on the way goes.
    """
    if not tree:
        return value
    if isinstance(value, dict):
        return {
            name: only(item, below)
            for name, item in value.items()
            if (below := tree.get(name, tree.get(_EVERY))) is not None and _may_hold(item, below)
        }
    if isinstance(value, list) and (below := tree.get(_EVERY)) is not None:
        return [only(item, below) for item in value if _may_hold(item, below)]
    return value


def without(value: Json, tree: Tree) -> Json:
    """Return a JSON value without what the tree takes; what is left stays as it is, in its order. `tree` has paths."""
    if isinstance(value, dict):
        return {
            name: item if below is None else without(item, below)
            for name, item in value.items()
            if (below := tree.get(name, tree.get(_EVERY))) is None or below
        }
    if isinstance(value, list) and (below := tree.get(_EVERY)) is not None:
        return [without(item, below) for item in value] if below else []
    return value


def masked(value: Json, tree: Tree) -> Json:
    """Return a JSON value in which what the tree takes is `***`; null stays null: there is nothing to hide.

    Another client's data may not fit its schema: an array that the tree does not know of is gone through all the same,
    and where it goes on below something else than an object or array, that is masked as a whole.
    """
    if isinstance(value, dict) and tree:
        return {
            name: item if (below := tree.get(name, tree.get(_EVERY))) is None else masked(item, below)
            for name, item in value.items()
        }
    if isinstance(value, list) and tree:
        below = tree.get(_EVERY, tree)
        return [masked(item, below) for item in value]
    return None if value is None else MASK


def _may_hold(value: Json, tree: Tree) -> bool:
    """Return whether what the tree takes may be in a value: all of it is, or it is an object or array on the way."""
    return not tree or isinstance(value, dict) or (isinstance(value, list) and _EVERY in tree)


def _add(tree: Tree, path: Path) -> None:
    for name in path[:-1]:
        below = tree.get(name)
        if below is not None and not below:
            return  # all of it is taken already
        tree = _below(tree, name) if below is None else below
    _below(tree, path[-1]).clear()


def _below(tree: Tree, name: str) -> Tree:
    """Return what is below a name, which is added unless it is there."""
    if name not in tree:
        if tree and (name == _EVERY or _EVERY in tree):
            raise InvalidInput(f"{_EVERY} and a name stand at the same place in two paths: {_EVERY} takes both")
        tree[name] = Tree()
    return tree[name]


def _pointed(text: str, pointer: str) -> Path:
    if _TILDE.search(text):
        raise InvalidInput("in a JSON pointer ~ is written ~0 (RFC 6901, 3)", pointer=pointer)
    return tuple(name.replace("~1", "/").replace("~0", "~") for name in text[1:].split("/"))
