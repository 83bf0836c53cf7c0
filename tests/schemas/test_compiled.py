"""What the generated functions write and read, held against fastavro: the same bytes, the same records, the same no."""

import dataclasses
import io
from typing import Any

import fastavro
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.codec import Record, UnreadableRecord, decode, encode, schema_of
from schemas.compiled import Classes, Malformed, _long, _long_at, reader_of, writer_of
from schemas.records import Attempt, Delivery
from tests.schemas.drawn import any_record, plain

HEADER = 10
LONGS = st.integers(-(1 << 63), (1 << 63) - 1)


def as_fastavro_has_it(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {field.name: as_fastavro_has_it(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return [as_fastavro_has_it(item) for item in value] if isinstance(value, tuple) else value


def written_by_fastavro(record: Record) -> bytes:
    body = io.BytesIO()
    fastavro.schemaless_writer(body, schema_of(type(record).__name__), as_fastavro_has_it(record))
    return body.getvalue()


def read_by_fastavro(record_class: type[Any], body: bytes) -> Any:
    """Return what fastavro reads of the whole body, None when it cannot or when bytes are left."""
    source = io.BytesIO(body)
    try:
        found = fastavro.schemaless_reader(source, schema_of(record_class.__name__), None)
    except Exception:  # noqa: BLE001 - fastavro raises EOFError, IndexError, UnicodeDecodeError and more
        return None
    return None if source.read(1) else found


@given(any_record)
@settings(max_examples=100)
def test_the_bytes_are_fastavros(record: Record) -> None:
    assert encode(record)[HEADER:] == written_by_fastavro(record)


@given(any_record)
@settings(max_examples=100)
def test_what_fastavro_writes_is_read(record: Record) -> None:
    record_class: type[Any] = type(record)
    assert decode(record_class, encode(record)[:HEADER] + written_by_fastavro(record)) == record


@given(
    record_class=st.sampled_from([Delivery, Attempt]),
    at=st.floats(0, 1, exclude_max=True),
    put=st.binary(max_size=12),
    taken=st.integers(0, 12),
)
@settings(max_examples=300)
def test_of_broken_bytes_both_say_the_same(record_class: type[Any], at: float, put: bytes, taken: int) -> None:
    whole = encode(plain(record_class))
    body = whole[HEADER:]
    place = int(len(body) * at)
    broken = body[:place] + put + body[place + taken :]
    try:
        found = as_fastavro_has_it(decode(record_class, whole[:HEADER] + broken))
    except UnreadableRecord:
        found = None
    expected = read_by_fastavro(record_class, broken)
    if found is None and expected is not None:
        # Ours alone refuses a state that nobody has, and times that a datetime holds no more.
        assert record_class is Attempt
        assert expected["state"] not in {"success", "retrying", "failed", "held"}
    else:
        assert found == expected


@given(any_record, st.data())
def test_no_beginning_of_a_record_is_a_record(record: Record, data: st.DataObject) -> None:
    whole = encode(record)
    cut = data.draw(st.integers(HEADER, len(whole) - 1))
    record_class: type[Any] = type(record)
    with pytest.raises(UnreadableRecord):
        decode(record_class, whole[:cut])


@given(LONGS)
@example(0)
@example(63)
@example(64)
@example(-1)
@example((1 << 63) - 1)
@example(-(1 << 63))
def test_numbers_of_64_bits_come_back(value: int) -> None:
    assert _long_at(_long(value), 0) == (value, len(_long(value)))


@pytest.mark.parametrize("value", [1 << 63, -(1 << 63) - 1])
def test_numbers_over_64_bits_are_refused(value: int) -> None:
    with pytest.raises(Malformed):
        _long(value)


@dataclasses.dataclass
class _One:
    field: Any


def _schema(kind: object, name: str = "field") -> dict[str, object]:
    return {"type": "record", "name": "One", "fields": [{"name": name, "type": kind}]}


@pytest.mark.parametrize("kind", ["float", ["string", "null"], ["null", "string", "long"], {"type": "enum"}])
def test_a_schema_that_it_cannot_is_refused_when_it_is_compiled(kind: object) -> None:
    classes = Classes({"One": _One}, {})
    with pytest.raises(NotImplementedError):
        writer_of(_schema(kind), classes, beginning=b"")
    with pytest.raises(NotImplementedError):
        reader_of(_schema(kind), classes)


def test_a_class_without_a_field_of_its_schema_is_refused_when_it_is_compiled() -> None:
    with pytest.raises(NotImplementedError, match="_One and its schema have other fields"):
        writer_of(_schema("string", name="other"), Classes({"One": _One}, {}), beginning=b"")
