"""FULL_TRANSITIVE: today's schema reads what every release wrote, and every release reads what today's writes."""

import json
import re
from pathlib import Path

import avro.schema
import pytest
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType

from schemas import codec

FOLDER = Path(codec.__file__).parent / "avro"
NAMES = sorted(path.stem for path in FOLDER.glob("*.avsc"))
RELEASED = sorted((FOLDER / "released").glob("*.avsc"))


def can_read(reader: avro.schema.Schema, writer: avro.schema.Schema) -> bool:
    result = ReaderWriterCompatibilityChecker().get_compatibility(reader, writer)
    return bool(result.compatibility is SchemaCompatibilityType.compatible)


def parsed(path: Path) -> avro.schema.Schema:
    return avro.schema.parse(path.read_text())


def release_of(path: Path) -> int:
    return int(path.stem.rpartition(".")[2])


def newest_of(name: str) -> Path:
    return max((path for path in RELEASED if path.stem.rpartition(".")[0] == name), key=release_of)


@pytest.mark.parametrize("released", RELEASED, ids=lambda path: path.stem)
def test_today_and_every_release_read_each_other(released: Path) -> None:
    today = parsed(FOLDER / f"{released.stem.rpartition('.')[0]}.avsc")
    assert can_read(today, parsed(released))
    assert can_read(parsed(released), today)


@pytest.mark.parametrize("name", NAMES)
def test_today_is_the_newest_release(name: str) -> None:
    newest = newest_of(name)
    assert json.loads((FOLDER / f"{name}.avsc").read_text()) == json.loads(newest.read_text()), (
        f"{name}.avsc has changed: add it as released/{name}.{release_of(newest) + 1}.avsc, and change no older one"
    )


def test_released_versions_have_a_number_each_from_1_on() -> None:
    assert all(re.fullmatch(r"[A-Za-z]+\.[1-9][0-9]*", path.stem) for path in RELEASED)
    assert {path.stem.rpartition(".")[0] for path in RELEASED} == set(NAMES)
    for name in NAMES:
        releases = sorted(release_of(path) for path in RELEASED if path.stem.rpartition(".")[0] == name)
        assert releases == list(range(1, len(releases) + 1))


@pytest.mark.parametrize("name", NAMES)
def test_every_released_version_has_a_fingerprint_that_we_read(name: str) -> None:
    known = {codec._reader(name)[0], *codec._released(name)}
    for path in RELEASED:
        if path.stem.rpartition(".")[0] == name:
            assert codec.fingerprint_of(json.loads(path.read_text())) in known


@pytest.mark.parametrize(
    "field",
    [
        {"name": "more", "type": "string"},  # no default: records of last week lack it
        {"name": "id", "type": "long"},
    ],
)
def test_the_check_tells_when_readers_break(field: dict[str, str]) -> None:
    today = json.loads((FOLDER / "Event.avsc").read_text())
    kept = [known for known in today["fields"] if known["name"] != field["name"]]
    changed = avro.schema.parse(json.dumps({**today, "fields": [*kept, field]}))
    assert not can_read(changed, parsed(FOLDER / "Event.avsc"))
