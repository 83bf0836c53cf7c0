"""What was released of each built-in event type: one file a version, `event_types/released/user.created.2.avsc`.

A version is about the data and how it is treated: fields, types, defaults, marks. Descriptions, the example, owner,
state and ordering key are no matter of it.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from schemas.catalogue import FOLDER
from schemas.checking import Schema

RELEASED: Final = "released"  # the folder beside the types
_NO_MATTER: Final = frozenset({"doc", "category", "example", "owner", "state", "version", "ordering_key", "reserved"})


def released_of(name: str, folder: Path = FOLDER) -> Mapping[int, Mapping[str, Schema]]:
    """Return every version of a type that was ever released, by its number, the oldest first; none for an unknown one.

    `folder` holds the types' files.
    """
    if not (folder / f"{name}.avsc").exists():  # a name may be anything, `../…` too, and `*`
        return {}
    files = [(path.stem.rpartition("."), path) for path in (folder / RELEASED).glob(f"{name}.*.avsc")]
    found = {int(number): path for (of, _, number), path in files if of == name}
    return {version: json.loads(found[version].read_text()) for version in sorted(found)}


def release_path(name: str, version: int, folder: Path = FOLDER) -> Path:
    """Return where a version of a type is kept."""
    return folder / RELEASED / f"{name}.{version}.avsc"


def shape_of(schema: Mapping[str, Schema]) -> Schema:
    """Return what a version is about: two files that have it in common are one version."""
    kept = {name: value for name, value in schema.items() if name not in _NO_MATTER}
    return _without_docs(kept)


def _without_docs(schema: Schema) -> Schema:
    if isinstance(schema, list):
        return [_without_docs(each) for each in schema]
    if isinstance(schema, dict):  # a default may be an object with a `doc` of its own: it stays
        return {
            name: value if name == "default" else _without_docs(value)
            for name, value in schema.items()
            if name != "doc"
        }
    return schema
