"""Event types from the command line: defined, checked, changed and archived, on the real API."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.compose.shell import hookline_here as hookline
from tests.compose.standin import Answer, StandIn

ID = {"name": "order_id", "type": "string"}
SIZE = {"name": "size", "type": ["null", "int"], "default": None}
NAME = "order.shipped"
SHOWN = {
    "name": NAME, "description": "It left.", "state": "active", "version": 1, "category": "order", "owner": "org_1",
    "ordering_key": None, "built_in": False, "schema": {"type": "record", "name": "shipped", "fields": [ID]},
    "example": {"order_id": "o"}, "updated_at": "2026-11-21T09:30:00Z",
}  # fmt: skip


def schema(*fields: Any) -> str:
    return json.dumps({"type": "record", "name": "shipped", "fields": [*fields]})


DEFINE = ("define", NAME, "--description", "It left.", "--schema", schema(ID), "--example", '{"order_id": "o"}')
DEFINED = {"name": NAME, "description": "It left.", "schema": json.loads(schema(ID)), "example": {"order_id": "o"}}


@pytest.mark.parametrize(
    ("arguments", "asks", "answer", "body"),
    [
        (DEFINE, "POST /event-types", (201, SHOWN), DEFINED),
        ((*DEFINE, "--draft", "--owner", "us", "--category", "shop", "--ordering-key", "order_id"), "POST /event-types",
         (201, SHOWN), {**DEFINED, "state": "draft", "owner": "us", "category": "shop", "ordering_key": "order_id"}),
        (("change", NAME, "--ordering-key", "none", "--owner", "us"), f"PATCH /event-types/{NAME}", (200, SHOWN),
         {"ordering_key": None, "owner": "us"}),
        (("change", NAME, "--schema", schema(ID), "--example", "{}"), f"PATCH /event-types/{NAME}", (200, SHOWN),
         {"schema": json.loads(schema(ID)), "example": {}}),
        (("activate", NAME), f"PATCH /event-types/{NAME}", (200, SHOWN), {"state": "active"}),
        (("deprecate", NAME), f"PATCH /event-types/{NAME}", (200, SHOWN), {"state": "deprecated"}),
        (("archive", NAME), f"PATCH /event-types/{NAME}", (200, SHOWN), {"state": "archived"}),
        (("delete", NAME), f"DELETE /event-types/{NAME}", (204, None), None),
        ((NAME,), f"GET /event-types/{NAME}", (200, SHOWN), None),
        (("show", "user.created", "--organization", "org_2"), "GET /event-types/user.created", (200, SHOWN), None),
        (("show", NAME, "--version", "2"), f"GET /event-types/{NAME}/versions/2",
         (200, {"version": 2, "schema": SHOWN["schema"], "created_at": None}), None),
    ],
    ids=lambda value: "-".join(value[::2])[:60] if isinstance(value, tuple) and isinstance(value[0], str) else None,
)  # fmt: skip
def test_a_command_asks_its_route_with_rests_names(
    arguments: tuple[str, ...], asks: str, answer: Answer, body: Any, standin_api: StandIn
) -> None:
    standin_api.answers[asks] = answer
    ran = hookline("event-types", *arguments, **standin_api.env)
    assert (ran.code, len(standin_api.asked)) == (0, 1), ran.err
    asked = standin_api.asked[0]
    assert (f"{asked.method} {asked.path}", asked.body) == (asks, body)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("change", NAME), "say what to change"),
        (("check", NAME, "--schema", "{"), "--schema: is not JSON"),
        (("check", NAME, "--schema", "[]"), "must be a JSON object"),
        (("check", NAME, "--schema", "@/no/such/file"), "--schema: cannot read /no/such/file"),
        (("change", NAME, "--example", "1"), "must be a JSON object"),
    ],
)
def test_what_is_no_json_object_is_refused_before_anybody_is_asked(
    arguments: tuple[str, ...], says: str, standin_api: StandIn
) -> None:
    ran = hookline("event-types", *arguments, **standin_api.env)
    assert (ran.code, says in ran.err, standin_api.asked) == (2, True, []), ran.err


def test_built_in_ones_are_listed_and_shown_without_asking(standin_api: StandIn) -> None:
    assert "user.created" in hookline("event-types", **standin_api.env).out
    assert "hookline publish user.created" in hookline("event-types", "show", "user.created", **standin_api.env).out
    assert standin_api.asked == []


def test_what_people_wrote_steers_no_terminal(standin_api: StandIn) -> None:
    steering = {**SHOWN, "description": "It \x1b[2Jleft.", "owner": "\x9b", "example": {"order_id": "\x1b[2J"}}
    standin_api.answers[f"GET /event-types/{NAME}"] = 200, steering
    standin_api.answers["GET /event-types"] = 200, {"data": [steering]}
    for words in (("show", NAME), ("list",)):
        out = hookline("event-types", *words, **standin_api.env).out
        assert "left." in out
        assert "\x1b" not in out.replace("\x1b[1m", "").replace("\x1b[0m", "")
        assert "\x9b" not in out


@pytest.mark.postgres
def test_one_is_checked_defined_changed_and_put_away(real_api: dict[str, str], tmp_path: Path) -> None:
    def run(*arguments: str, code: int = 0, stdin: str = "") -> str:
        ran = hookline("event-types", *arguments, stdin=stdin, **real_api)
        assert ran.code == code, ran.out + ran.err
        return ran.out + ran.err

    file = tmp_path / "shipped.avsc"
    file.write_text(schema(ID))
    assert "would be its first version" in run("check", NAME, "--schema", f"@{file}")
    assert "names that begin with user. are Hookline's own" in run(
        "check", "user.merged", "--schema", f"@{file}", code=1
    )
    define = ("define", NAME, "--description", "It left.", "--example", '{"order_id": "o"}', "--schema", "-")
    wrong = schema({"name": "raw", "type": "bytes"})
    assert "--schema /fields/0/type: " in run(*define, stdin=wrong, code=2)
    assert "fail  order.shipped  /schema/fields/0/type: " in run("check", NAME, "--schema", wrong, code=1)
    assert "order_id" in run(*define, stdin=file.read_text())
    assert "already: change that one" in run(*define, stdin=file.read_text(), code=1)
    assert run("list", "--own").split("\n")[1].split()[:4] == [NAME, "own", "active", "v1"]
    (listed,) = json.loads(run("list", "--own", "--json"))
    assert (listed["name"], listed["schema"]) == (NAME, json.loads(schema(ID)))
    assert "must be one of" in run("list", "--category", "users", code=2)

    assert f"{NAME}  would be version 2, beside 1" in run("check", NAME, "--schema", schema(ID, SIZE))
    assert "2; before it 1" in run("change", NAME, "--schema", schema(ID, SIZE)) + run("show", NAME)
    broken = schema({**ID, "type": "long"})
    said = run("check", NAME, "--schema", broken, code=1)
    assert f"fail  {NAME}  data.order_id: is long and was string: neither this version nor version 2" in said
    assert f"make it a type of its own, such as {NAME}.v2" in said
    refused = run("change", NAME, "--schema", broken, code=1)
    assert "data.order_id: is long and was string" in refused
    assert f"make it a type of its own, such as {NAME}.v2" in refused

    assert "deprecated" in run("deprecate", NAME)
    assert "archived" in run("archive", NAME)
    assert "from archived it can become active, not deprecated" in run("deprecate", NAME, code=1)
    assert "only a draft can be deleted" in run("delete", NAME, code=1)
    assert "active" in run("activate", NAME)
    run("define", "order.lost", *define[2:], "--draft", stdin=file.read_text())
    assert "order.lost  deleted" in run("delete", "order.lost")
    assert "the catalogue has no event type of this name" in run("show", "order.lost", code=1)


@pytest.mark.postgres
def test_a_check_says_what_the_api_would_and_saves_nothing(real_api: dict[str, str]) -> None:
    def run(*arguments: str) -> tuple[int, str]:
        ran = hookline("event-types", *arguments, "--organization", "org_of_checks", **real_api)
        return ran.code, ran.out + ran.err

    assert run(*DEFINE, "--ordering-key", "order_id")[0] == 0
    assert run("change", NAME, "--schema", schema(ID, SIZE))[0] == 0
    assert run("change", NAME, "--schema", schema(ID))[0] == 0  # what version 2 had is retired
    before = json.loads(run("show", NAME, "--json")[1])
    wide = [{"name": f"f{number}", "type": ["null", "int"], "default": None} for number in range(499)]
    for candidate, well in (
        (schema(ID, SIZE), True),
        (schema(ID, {**SIZE, "type": ["null", "string"]}), False),  # back as another type than it was
        (schema(ID, {"name": "more", "type": "string"}), False),
        (schema(ID, *wide), False),  # with what version 2 had it is one field too many
        (schema(), False),
        (schema(ID, {"name": "note", "type": ["null", "string"], "default": None}), True),
    ):
        code, said = run("check", NAME, "--schema", candidate, "--json")
        assert (code, not json.loads(said)["problems"]) == (0 if well else 1, well), said
        assert json.loads(run("show", NAME, "--json")[1]) == before
        code, said = run("change", NAME, "--schema", candidate)
        assert (code == 0) == well, said
        before = json.loads(run("show", NAME, "--json")[1])
    needs = run("check", NAME, "--schema", schema(ID), "--example", "{}")
    assert (needs[0], "/example/order_id: is missing" in needs[1]) == (1, True), needs
