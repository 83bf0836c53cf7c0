"""The tables of settings in docs/production.md, written from the settings' classes and the text under their fields.

`python -m compose.settings_table` (`make settings`) writes them between the document's markers; a test holds the two
to each other.
"""

import ast
import importlib
import inspect
import pkgutil
import re
import textwrap
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from types import ModuleType, NoneType, UnionType
from typing import Final, Literal, Union, cast, get_args, get_origin

from pydantic import AliasChoices, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from compose.marked import with_part
from schemas.waits import Schedule, duration_name

DOCUMENT: Final = Path(__file__).parents[1] / "docs" / "production.md"
_PACKAGES: Final = ("producers", "processors", "api", "compose")
_KINDS: Final[dict[object, str]] = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "text",
    Path: "path",
    SecretStr: "secret text",
    Schedule: "durations between commas",
    frozenset[int]: "whole numbers between commas",
    timedelta: "duration",
}
_SIGNS: Final = (("gt", "over"), ("ge", "from"), ("le", "to"), ("lt", "below"))


def settings_classes() -> list[type[BaseSettings]]:
    """Return every class with settings of its own, in the order of the layers: they stand in modules `…settings`."""
    return [
        each
        for module in _modules()
        for each in vars(module).values()
        if inspect.isclass(each) and issubclass(each, BaseSettings)
        if each.__module__ == module.__name__ and fields_of(each)
    ]


def fields_of(settings: type[BaseSettings]) -> dict[str, FieldInfo]:
    """Return the fields that this class declares; those that it inherits are its parent's."""
    own = inspect.get_annotations(settings)
    return {name: field for name, field in settings.model_fields.items() if name in own}


def variable_of(settings: type[BaseSettings], name: str) -> str:
    """Return the environment variable of a field, in the spelling that documents use."""
    alias = settings.model_fields[name].validation_alias
    if isinstance(alias, AliasChoices):
        return str(alias.choices[-1]).upper()
    return f"{settings.model_config.get('env_prefix', '')}{alias or name}".upper()


def variables() -> set[str]:
    """Return the names of all variables that any of our processes reads as a setting."""
    return {variable_of(settings, name) for settings in settings_classes() for name in fields_of(settings)}


def tables() -> str:
    """Return a Markdown table for each settings class."""
    return "\n\n".join(_table(settings) for settings in settings_classes())


def written(document: str) -> str:
    """Return the document with today's tables between its markers; raises ValueError when it has none."""
    return with_part(document, "settings", tables())


def _modules() -> Iterator[ModuleType]:
    for package in _PACKAGES:
        for found in pkgutil.walk_packages([str(Path(__file__).parents[1] / package)], f"{package}."):
            if found.name.endswith("settings"):
                yield importlib.import_module(found.name)


def _table(settings: type[BaseSettings]) -> str:
    texts = _texts_of(settings)
    rows = [
        f"| `{variable_of(settings, name)}` | {_type_of(field)} | {_default_of(field)} | {texts[name]} |"
        for name, field in fields_of(settings).items()
    ]
    head = ["| variable | type | default | what it is |", "|---|---|---|---|"]
    return "\n".join([f"### {settings.__name__}", "", _as_cell(inspect.getdoc(settings) or ""), "", *head, *rows])


def _texts_of(settings: type[BaseSettings]) -> dict[str, str]:
    """Return what stands under each field; other fields that it names are named by their variables."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(settings))).body
    statements = cast(ast.ClassDef, tree).body  # the source of a class is one statement
    texts = {
        field.target.id: _as_cell(text.value.value)
        for field, text in pairwise(statements)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }
    for name in fields_of(settings):
        texts = {of: text.replace(f"`{name}`", f"`{variable_of(settings, name)}`") for of, text in texts.items()}
    return texts


def _type_of(field: FieldInfo) -> str:
    options = [each for each in _options_of(field.annotation) if each is not NoneType]
    marks = field.metadata
    bounds = [f"{sign} {getattr(mark, name):g}" for mark in marks for name, sign in _SIGNS if hasattr(mark, name)]
    patterns = [f"`{mark.pattern}`" for mark in marks if getattr(mark, "pattern", None)]
    return _as_cell(
        ", ".join([*(_kind_of(option) for option in options), *([" ".join(bounds)] if bounds else []), *patterns])
    )


def _options_of(annotation: object) -> tuple[object, ...]:
    return get_args(annotation) if get_origin(annotation) in {Union, UnionType} else (annotation,)


def _kind_of(option: object) -> str:
    return ", ".join(f"`{value}`" for value in get_args(option)) if get_origin(option) is Literal else _KINDS[option]


def _default_of(field: FieldInfo) -> str:
    default = field.default
    if default is None:
        return "–"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, timedelta):
        return f"`{duration_name(default)}`"
    if isinstance(default, Schedule):
        return f"`{','.join(duration_name(wait) for wait in default.waits)}`"
    if isinstance(default, frozenset):
        return f"`{','.join(map(str, sorted(default)))}`"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def _as_cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip().replace("|", "\\|")


if __name__ == "__main__":
    DOCUMENT.write_text(written(DOCUMENT.read_text()))
