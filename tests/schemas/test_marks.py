"""Where data is personal or secret, as schemas mark it."""

from typing import Any

import pytest

from schemas.catalogue import EventType
from schemas.marks import Path, Sensitivity, marked_paths, pointer_of


def field(name: str, kind: Any, mark: str | None = None) -> dict[str, Any]:
    return {"name": name, "type": kind} | ({"sensitivity": mark} if mark else {})


def record(name: str, *fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": [*fields]}


PERSON = record("Person", field("name", "string", "personal"), field("age", "int"))


@pytest.mark.parametrize(
    ("schema", "paths"),
    [
        (record("r"), ()),
        (record("r", field("a", "string", "personal"), field("b", "string", "secret")), (("a",),)),
        (record("r", field("a", ["null", "string"], "personal")), (("a",),)),
        (record("r", field("a", PERSON)), (("a", "name"),)),
        (record("r", field("a", ["null", PERSON])), (("a", "name"),)),
        (record("r", field("a", PERSON, "personal")), (("a",),)),  # the whole of it, not its parts beside it
        (record("r", field("a", {"type": "array", "items": PERSON})), (("a", "*", "name"),)),
        (
            record("r", field("a", {"type": "map", "values": {"type": "array", "items": PERSON}})),
            (("a", "*", "*", "name"),),
        ),
        (record("r", field("a", {"type": "array", "items": "string"}, "personal")), (("a",),)),
        (record("r", field("a", PERSON), field("b", ["null", "Person"])), (("a", "name"), ("b", "name"))),
        (record("r", field("a", {"type": PERSON})), (("a", "name"),)),
    ],
)
def test_paths_lead_to_what_is_marked(schema: dict[str, Any], paths: tuple[Path, ...]) -> None:
    assert marked_paths(schema, Sensitivity.PERSONAL) == paths


@pytest.mark.parametrize(
    "schema",
    [
        record("r", field("a", ["null", "r"])),
        record("r", field("a", {"type": "array", "items": record("s", field("b", "r"))})),
        record("r", field("a", "Unknown")),
    ],
)
def test_a_schema_whose_marks_cannot_all_be_listed_is_none(schema: dict[str, Any]) -> None:
    """A secret below what is skipped would leave."""
    with pytest.raises(ValueError, match=r"contains itself|no type is called"):
        marked_paths(schema, Sensitivity.SECRET)


def test_an_event_type_knows_its_own() -> None:
    schema = record("made", field("owner", PERSON), field("code", "string", "secret"))
    made = EventType(name="a.made", category="a", description="Made.", schema=schema, example={}, open_ended=False)
    assert (made.personal, made.secret) == ((("owner", "name"),), (("code",),))
    assert [pointer_of(path) for path in made.personal] == ["/owner/name"]
