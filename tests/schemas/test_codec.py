"""Records to bytes and back, read and fingerprinted by the independent `avro` library too."""

import dataclasses
import io
import json
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

import avro.io
import avro.schema
import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import codec
from schemas.codec import MARKER, Record, UnreadableRecord, decode, encode, fingerprint_of, schema_of
from schemas.records import Attempt, Event, PastAttempt, Position
from tests.schemas.drawn import RECORD_CLASSES, any_record, plain

FOLDER = Path(codec.__file__).parent / "avro"
by_class = pytest.mark.parametrize("record_class", RECORD_CLASSES)


def without_logical_types(schema: Any) -> Any:
    """Return a schema as Java's SchemaNormalization sees it: a timestamp is a long.

    `avro` for Python leaves {"type":"long"} in the canonical form, where Java, fastavro and the specification's
    [PRIMITIVES] write "long".
    """
    if isinstance(schema, list):
        return [without_logical_types(branch) for branch in schema]
    if isinstance(schema, dict):
        if "logicalType" in schema:
            return schema["type"]
        return {name: without_logical_types(value) for name, value in schema.items()}
    return schema


def class_of(record: Record) -> type[Any]:
    return type(record)


def as_avro_has_it(value: Any) -> Any:
    """Return a record as `avro` reads it: dictionaries and lists."""
    if dataclasses.is_dataclass(value):
        return {field.name: as_avro_has_it(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return [as_avro_has_it(item) for item in value] if isinstance(value, tuple) else value


@given(any_record)
def test_every_record_comes_back_as_it_was(record: Record) -> None:
    assert decode(class_of(record), encode(record)) == record


@given(any_record)
def test_an_independent_library_reads_what_we_write(record: Record) -> None:
    schema = avro.schema.parse((FOLDER / f"{type(record).__name__}.avsc").read_text())
    body = io.BytesIO(encode(record)[10:])
    found = avro.io.DatumReader(schema).read(avro.io.BinaryDecoder(body))
    assert found == as_avro_has_it(record)
    assert body.read() == b""


@pytest.mark.parametrize(
    ("schema", "crc"),
    # share/test/data/schema-tests.txt of Apache Avro, which Java's and the other languages' tests read
    [
        ("null", 7195948357588979594),
        ("boolean", -6970731678124411036),
        ("int", 8247732601305521295),
        ("string", -8142146995180207161),
        (["int", "boolean"], 5392556393470105090),
        ({"type": "fixed", "name": "foo", "size": 15}, 1756455273707447556),
    ],
)
def test_fingerprints_are_those_of_avros_own_tests(schema: object, crc: int) -> None:
    assert fingerprint_of(schema) == crc.to_bytes(8, "little", signed=True)


def test_the_header_of_an_int_is_the_one_in_avros_tests() -> None:
    assert (MARKER + fingerprint_of("int")).hex() == "c3018f5c393f1ad57572"  # lang/ruby/test/test_fingerprints.rb


@by_class
def test_the_header_carries_the_fingerprint_that_avro_computes(record_class: type[Any]) -> None:
    raw = json.loads((FOLDER / f"{record_class.__name__}.avsc").read_text())
    parsed = avro.schema.parse(json.dumps(without_logical_types(raw)))
    assert fingerprint_of(schema_of(record_class.__name__)) == parsed.fingerprint("CRC-64-AVRO")


@given(any_record, st.data())
def test_no_truncated_record_is_read(record: Record, data: st.DataObject) -> None:
    whole = encode(record)
    end = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(UnreadableRecord):
        decode(class_of(record), whole[:end])


@by_class
def test_no_truncation_at_all_of_one_record_is_read(record_class: type[Any]) -> None:
    whole = encode(plain(record_class))
    for end in range(len(whole)):
        with pytest.raises(UnreadableRecord):
            decode(record_class, whole[:end])


@by_class
def test_another_byte_anywhere_in_the_header_is_not_read(record_class: type[Any]) -> None:
    whole = encode(plain(record_class))
    for place in range(10):
        for byte in set(range(256)) - {whole[place]}:
            with pytest.raises(UnreadableRecord):
                decode(record_class, whole[:place] + bytes([byte]) + whole[place + 1 :])


@by_class
def test_a_byte_too_many_is_not_read(record_class: type[Any]) -> None:
    with pytest.raises(UnreadableRecord, match="left over"):
        decode(record_class, encode(plain(record_class)) + b"\x00")


@given(st.sampled_from(RECORD_CLASSES), st.binary(max_size=200), st.booleans())
def test_arbitrary_bytes_raise_nothing_else(record_class: type[Any], noise: bytes, headed: bool) -> None:
    header = MARKER + fingerprint_of(schema_of(record_class.__name__)) if headed else b""
    try:
        decode(record_class, header + noise)
    except UnreadableRecord:
        return
    assert headed  # noise that happens to be a record


@given(any_record, st.data())
def test_damaged_records_raise_nothing_else(record: Record, data: st.DataObject) -> None:
    damaged = bytearray(encode(record))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    with suppress(UnreadableRecord):
        decode(class_of(record), bytes(damaged))


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"{}",
        b"\x00\x00\x00\x00\x01",  # the Confluent wire format
        b"\xc3\x01",
        b"\xc3\x01\x00\x00\x00\x00\x00\x00\x00\x00secret-value",
        b"Obj\x01secret-value",
    ],
)
def test_what_is_no_record_is_refused_without_being_quoted(value: bytes | None) -> None:
    with pytest.raises(UnreadableRecord) as caught:
        decode(Event, value)
    assert "secret-value" not in str(caught.value)


def test_a_record_of_another_class_is_refused() -> None:
    with pytest.raises(UnreadableRecord, match="no version of Attempt"):
        decode(Attempt, encode(plain(Event)))


def test_an_unknown_state_is_refused_without_being_quoted() -> None:
    attempt = plain(Attempt)
    written = encode(attempt).replace(b"\x0esuccess", b"\x0esecret!")
    with pytest.raises(UnreadableRecord) as caught:
        decode(Attempt, written)
    assert "secret!" not in "".join(traceback.format_exception(caught.value))


def test_a_record_of_an_older_release_is_read_with_the_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    today = json.loads((FOLDER / "Event.avsc").read_text())
    older = {**today, "fields": [field for field in today["fields"] if field["name"] != "source_id"]}
    (tmp_path / "released").mkdir()
    (tmp_path / "Event.avsc").write_text(json.dumps(today))
    (tmp_path / "released" / "Event.0.avsc").write_text(json.dumps(older))
    monkeypatch.setattr(codec, "_FOLDER", tmp_path)
    event = dataclasses.replace(plain(Event), source_id=None)
    values = {field.name: getattr(event, field.name) for field in dataclasses.fields(event)}
    body = io.BytesIO()
    fastavro.schemaless_writer(body, fastavro.parse_schema(older, {}), values)
    codec._released.cache_clear()
    try:
        assert decode(Event, MARKER + fingerprint_of(older) + body.getvalue()) == event
    finally:
        codec._released.cache_clear()


@pytest.mark.parametrize("record_class", [*RECORD_CLASSES, Position, PastAttempt])
def test_fields_agree_with_the_schema_in_name_order_and_default(record_class: type[Any]) -> None:
    found = [
        (field.name, as_avro_has_it(field.default)) if has_default(field) else (field.name,)
        for field in dataclasses.fields(record_class)
    ]
    declared = [
        (field["name"], field["default"]) if "default" in field else (field["name"],)
        for field in declared_fields(record_class.__name__)
        # `source` may be null for readers that come later; who writes an outcome must say it
    ]
    if record_class is Attempt:
        declared = [("source",) if names[0] == "source" else names for names in declared]
    assert found == declared


def declared_fields(name: str) -> list[dict[str, Any]]:
    """Return the fields of a record wherever today's schemas define it."""
    for path in sorted(FOLDER.glob("*.avsc")):
        if (found := named(json.loads(path.read_text()), name)) is not None:
            return found
    raise AssertionError(name)


def named(schema: Any, name: str) -> list[dict[str, Any]] | None:
    if isinstance(schema, list):
        return next((found for inner in schema if (found := named(inner, name)) is not None), None)
    if not isinstance(schema, dict):
        return None
    if schema.get("type") == "record" and schema["name"] == name:
        return list(schema["fields"])
    return named(list(schema.values()), name)


def has_default(field: "dataclasses.Field[Any]") -> bool:
    return field.default is not dataclasses.MISSING
