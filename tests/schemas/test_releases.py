"""Event types evolve FULL_TRANSITIVE: today's files and every version ever released read each other, and CI says so."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from schemas.catalogue import FOLDER, catalogue
from schemas.evolution import check_full_transitive
from schemas.releases import RELEASED, release_path, released_of, shape_of
from schemas.type_files import Problem, checked_file

FILES = sorted(FOLDER.glob("*.avsc"))
OLD_FILES = sorted((FOLDER / RELEASED).glob("*.avsc"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_holds_and_its_version_is_released(path: Path) -> None:
    found = checked_file(path)
    assert found.problems == []
    assert found.to_release is None, found.to_release


@pytest.mark.parametrize("name", catalogue())
def test_every_two_versions_ever_released_read_each_other(name: str) -> None:
    released = released_of(name)
    assert list(released) == list(range(1, len(released) + 1))
    for version, schema in released.items():
        assert check_full_transitive(schema, released) == [], version
        assert json.dumps(schema["version"]) == f"{version}"


def test_what_was_released_is_of_a_type_that_is_there() -> None:
    """A type is never removed: it is archived, so that events in the log can still be read."""
    assert all(re.fullmatch(r"[a-z0-9_.]+\.[1-9][0-9]*", path.stem) for path in OLD_FILES)
    assert {path.stem.rpartition(".")[0] for path in OLD_FILES} == set(catalogue())


def test_nothing_is_released_of_what_is_no_type() -> None:
    for name in ("no.such", "*", "user.*", "../avro/Event", "user", ""):
        assert released_of(name) == {}


def test_a_longer_name_is_another_type(tmp_path: Path) -> None:
    (tmp_path / RELEASED).mkdir()
    for name in ("a.b", "a.b.c"):
        (tmp_path / f"{name}.avsc").write_text("{}")
        release_path(name, 1, tmp_path).write_text(json.dumps({"doc": name}))
    assert released_of("a.b", tmp_path) == {1: {"doc": "a.b"}}


Edit = Callable[[dict[str, Any]], object]


@pytest.fixture
def edited(tmp_path: Path) -> Callable[[Edit], Path]:
    """Return what edits user.created in a copy of the folder, and returns its path there."""
    folder = tmp_path / "event_types"
    (folder / RELEASED).mkdir(parents=True)
    for path in (FOLDER / "user.created.avsc", *(FOLDER / RELEASED).glob("user.created.*")):
        shutil.copy(path, folder / path.relative_to(FOLDER))

    def edit(change: Edit) -> Path:
        path = folder / "user.created.avsc"
        schema = json.loads(path.read_text())
        change(schema)
        path.write_text(json.dumps(schema))
        return path

    return edit


def field(schema: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in schema["fields"] if each["name"] == name)


MORE = {"name": "more", "type": ["null", "string"], "default": None, "doc": "More."}


@pytest.mark.parametrize(
    ("change", "where", "said"),
    [
        (lambda schema: schema["fields"].append({"name": "more", "type": "string"}), "data.more", "give it a default"),
        (lambda schema: schema["fields"].pop(0), "data.id", "removed, but version 1 requires it"),
        (lambda schema: field(schema, "id").update(type="long"), "data.id", "is long and was string"),
        (lambda schema: schema["fields"].append(MORE), "/version", "must be 2: version 1 was released, and this is"),
        (lambda schema: field(schema, "name").pop("sensitivity"), "/version", "must be 2"),  # a mark is masked by
        (lambda schema: schema.update(version=2), "/version", "must be 1: version 1 was released, as it is"),
        (lambda schema: schema.update(name="made"), "data", "keep the name"),
        (lambda schema: schema.update(namespace="x"), "/namespace", "must be hookline.events.user"),
        (lambda schema: schema.update(category="My users"), "/category", "lower-case"),
        (lambda schema: schema.pop("doc"), "/doc", "must be text"),
        (lambda schema: schema.pop("owner"), "/owner", "must be text"),
        (lambda schema: schema.update(state="done"), "/state", "draft, active, deprecated, archived"),
        (lambda schema: schema.update(version=0), "/version", "from 1 on"),
        (lambda schema: schema.update(ordering_key="mail"), "/ordering_key", "id, email, name, created_at"),
        (
            lambda schema: (schema.update(ordering_key="name"), field(schema, "name").update(sensitivity="secret")),
            "/ordering_key",
            "no secret: id, email, created_at",
        ),
        (lambda schema: schema.update(example={}), "/example/id", "is missing"),
        (lambda schema: schema.update(example=[]), "/example", "must be a JSON object"),
        (lambda schema: schema.update(owners="x"), "/owners", "is no attribute"),
        (lambda schema: field(schema, "id").update(sensitivity="private"), "/fields/0/sensitivity", "personal or secr"),
        (lambda schema: field(schema, "name").update(sensitivity="secret"), "/example/name", 'write "***"'),
    ],
)
def test_an_edit_that_does_not_hold_is_told_the_field_and_what_to_do(
    edited: Callable[[Edit], Path], change: Edit, where: str, said: str
) -> None:
    (problem,) = checked_file(edited(change)).problems
    assert problem.where == where
    assert said in problem.reason


@pytest.mark.parametrize(
    "change",
    [
        lambda schema: schema.update(doc="Another text."),
        lambda schema: field(schema, "id").update(doc="Another text."),
        lambda schema: schema.update(state="deprecated", owner="people", ordering_key="email"),
        lambda schema: schema["example"].update(name="Jane Doe"),
    ],
)
def test_words_and_state_need_no_version(edited: Callable[[Edit], Path], change: Edit) -> None:
    found = checked_file(edited(change))
    assert (found.problems, found.to_release) == ([], None)


def test_a_compatible_version_is_to_be_released_and_then_holds(edited: Callable[[Edit], Path]) -> None:
    path = edited(lambda schema: schema["fields"].append(MORE))
    edited(lambda schema: schema.update(version=2))
    found = checked_file(path)
    copy = release_path("user.created", 2, path.parent)
    assert (found.problems, found.to_release) == ([], f"version 2 is not released yet: cp {path} {copy}")
    shutil.copy(path, copy)
    assert checked_file(path).to_release is None
    (problem,) = checked_file(edited(lambda schema: schema["fields"].pop())).problems
    assert problem == Problem("/version", "must be 3: version 2 was released, and this is another")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("invoice.paid", "{", "is no JSON"),
        ("invoice.paid", "[]", "must be an Avro record"),
        ("Invoice", "{}", "the file's name is the type's"),
    ],
)
def test_what_is_no_schema_is_said(tmp_path: Path, name: str, text: str, said: str) -> None:
    path = tmp_path / f"{name}.avsc"
    path.write_text(text)
    (problem,) = checked_file(path).problems
    assert said in problem.reason


def test_a_default_may_have_a_field_called_doc() -> None:
    def with_default(text: str) -> dict[str, Any]:
        kind = {"type": "map", "values": "string"}
        return {"type": "record", "fields": [{"name": "a", "doc": "A.", "type": kind, "default": {"doc": text}}]}

    assert shape_of(with_default("one")) != shape_of(with_default("other"))
    assert shape_of(with_default("one")) == shape_of({**with_default("one"), "doc": "Words."})
