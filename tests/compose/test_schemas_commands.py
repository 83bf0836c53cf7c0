"""`hookline schemas`: what it lists and shows, what it checks and tells of a change; and the page of all types."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from compose.described_fields import described_fields
from compose.event_types_page import DOCUMENT, page
from schemas.catalogue import FOLDER, EventTypeState, catalogue
from schemas.event_schemas import checked_schema
from schemas.releases import RELEASED, release_path
from tests.compose.shell import hookline_here

Edit = Callable[[dict[str, Any]], object]
MORE = {"name": "more", "type": ["null", "string"], "default": None, "doc": "More."}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """user.created in a folder of its own, with what was released of it."""
    (tmp_path / RELEASED).mkdir()
    for path in (FOLDER / "user.created.avsc", *(FOLDER / RELEASED).glob("user.created.*")):
        shutil.copy(path, tmp_path / path.relative_to(FOLDER))
    return tmp_path / "user.created.avsc"


def edit(path: Path, change: Edit) -> None:
    schema = json.loads(path.read_text())
    change(schema)
    path.write_text(json.dumps(schema))


def test_lists_those_of_a_category_and_state() -> None:
    everything = hookline_here("schemas", "list").out.splitlines()
    assert [line.split()[0] for line in everything] == list(catalogue())
    some = json.loads(hookline_here("schemas", "list", "--category", "job_queue", "--state", "active", "--json").out)
    assert [each["name"] for each in some["event_types"]] == [
        "job.completed",
        "job.failed",
        "job.queued",
        "job.started",
    ]
    assert hookline_here("schemas", "list", "--state", "archived").out == ""


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("list", "--category", "jobs"), 2, "must be one of api_token, application"),
        (("list", "--state", "gone"), 2, "'draft', 'active', 'deprecated', 'archived'"),
        (("show", "user.creatd"), 1, "user.created"),
        (("show", "user.created", "--version", "9"), 1, "no version 9 of user.created was released: it has 1"),
        (("check", "no-such.avsc"), 2, "does not exist"),
        (("diff", "user.creatd", "1"), 1, "near it are"),
        (("diff", "user.created", "9"), 1, "no version 9 of user.created"),
        (("diff", "user.created", "no-such.avsc"), 1, "is no file and no version of user.created: it has 1"),
        (("diff", "user.created", "1", str(FOLDER.parent / "catalogue.py")), 1, "is no JSON"),
    ],
)
def test_what_is_not_there_is_said(arguments: tuple[str, ...], code: int, said: str) -> None:
    ran = hookline_here("schemas", *arguments)
    assert (ran.code, said in ran.err) == (code, True), ran.err
    assert "Traceback" not in ran.err


def test_shows_fields_with_marks_and_an_example_that_publishes() -> None:
    shown = hookline_here("schemas", "show", "user.password_reset_requested").out
    assert "reset_link  string  secret" in shown
    assert "email       string  personal" in shown
    assert "hookline publish user.password_reset_requested --data '{" in shown
    quoted = hookline_here("schemas", "show", "certificate.issued").out  # an apostrophe in its example
    assert """--data '{"id":"cert_42""" in quoted
    assert """Let'"'"'s Encrypt""" in quoted


def test_shows_a_version_and_the_json_schema() -> None:
    shown = json.loads(hookline_here("schemas", "show", "user.created", "--version", "1", "--json").out)
    assert (shown["version"], shown["versions"], shown["personal"]) == (1, [1], ["/email", "/name"])
    shape = json.loads(hookline_here("schemas", "show", "user.created", "--json-schema").out)
    assert (shape["required"], shape["additionalProperties"]) == (["id"], False)
    assert shape == shown["json_schema"]


def test_the_short_way_is_the_same() -> None:
    assert hookline_here("event-types").out == hookline_here("schemas", "list").out
    for options in ((), ("--json",)):
        short, long = (
            hookline_here(*words, "user.created", *options) for words in (("event-types",), ("schemas", "show"))
        )
        assert short == long


def test_checks_all_that_is_built_in() -> None:
    ran = hookline_here("schemas", "check")
    assert (ran.code, ran.out) == (0, f"{len(catalogue())} of {len(catalogue())} hold\n")


def test_a_breaking_change_is_refused_with_field_and_reason(file: Path) -> None:
    edit(file, lambda schema: schema["fields"].append({"name": "plan", "type": "string"}))
    ran = hookline_here("schemas", "check", str(file))
    assert ran.code == 1
    assert "fail  user.created  data.plan: added as a required field" in ran.out
    assert "0 of 1 hold" in ran.out
    (checked,) = json.loads(hookline_here("schemas", "check", "--json", str(file.parent)).out)["files"]
    assert [problem["where"] for problem in checked["problems"]] == ["data.plan"]


def test_a_new_version_is_told_how_to_be_released(file: Path) -> None:
    edit(file, lambda schema: (schema["fields"].append(MORE), schema.update(version=2)))
    ran = hookline_here("schemas", "check", str(file))
    copy = release_path("user.created", 2, file.parent)
    assert (ran.code, ran.out) == (
        0, f"ok    user.created  version 2 is not released yet: cp {file} {copy}\n1 of 1 hold\n"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "code", "lines"),
    [
        (dict.copy, 0, ["no difference"]),
        (lambda schema: schema.update(doc="Words."), 0, ["no difference"]),
        (
            lambda schema: schema["fields"].append(MORE),
            0,
            ["+ more  string, optional", "each reads the other"],
        ),
        (
            lambda schema: schema["fields"].pop(),
            0,
            ["- created_at  string, optional", "each reads the other"],
        ),
        (
            lambda schema: schema["fields"][0].update(type="long"),
            1,
            ["~ id  string, required → long, required", "breaks  data.id: is long and was string: "],
        ),
        (
            lambda schema: schema["fields"][2].pop("sensitivity"),
            0,
            ["~ name  string, optional, personal → string, optional", "each reads the other"],
        ),
    ],
)
def test_tells_what_differs_and_what_of_it_breaks(file: Path, change: Edit, code: int, lines: list[str]) -> None:
    edit(file, change)
    ran = hookline_here("schemas", "diff", "user.created", "1", str(file))
    assert ran.code == code
    said = ran.out.splitlines()
    assert len(said) == len(lines)
    assert all(line.startswith(wanted) for line, wanted in zip(said, lines, strict=True)), said


def test_differences_are_told_to_programs(file: Path) -> None:
    edit(file, lambda schema: schema["fields"].pop(0))
    told = json.loads(hookline_here("schemas", "diff", "user.created", "1", str(file), "--json").out)
    assert told["differences"] == [{"name": "id", "was": "string, required", "becomes": None}]
    assert [each["field"] for each in told["breaking"]] == ["data.id"]


def test_the_page_of_all_types_is_of_today() -> None:
    assert DOCUMENT.read_text() == page(), "run `make catalogue`"


def test_the_page_says_what_is_deprecated_and_links_lead_to_headings() -> None:
    text = page([replace(catalogue()["user.created"], state=EventTypeState.DEPRECATED), catalogue()["hookline.test"]])
    assert "**deprecated**" in text
    assert "Takes any JSON object." in text
    assert "[user.created](#usercreated)" in text
    assert "### user.created\n" in text


def test_fields_within_fields_are_described_with_the_way_to_them() -> None:
    item: Any = {
        "type": "record",
        "name": "Item",
        "fields": [{"name": "sku", "type": "string", "sensitivity": "secret"}],
    }
    schema = checked_schema(
        {
            "type": "record",
            "name": "placed",
            "fields": [
                {"name": "items", "type": {"type": "array", "items": item}},
                {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}, "default": 0},
                {"name": "labels", "type": ["null", {"type": "map", "values": "int"}], "default": None, "doc": "Any."},
                {"name": "size", "type": {"type": "enum", "name": "Size", "symbols": ["S", "M"]}},
            ],
        }
    )
    assert [(each.name, each.type, each.marks, each.text) for each in described_fields(schema)] == [
        ("items", "array of record", ("required",), ""),
        ("items[].sku", "string", ("required", "secret"), ""),
        ("at", "long (timestamp-micros)", (), ""),
        ("labels", "map of int", (), "Any."),
        ("size", "S or M", ("required",), ""),
    ]
