"""Records to bytes and back: Avro single-object encoding (specification 1.12, "Single-object encoding").

A value is C3 01, the writer schema's CRC-64-AVRO fingerprint (8 bytes, little-endian) and the Avro body. Anybody can
read it with the schemas in this folder, without a service. Every version ever released stays readable: `released/`
holds the older ones, which fastavro reads; today's are written and read by functions of their own (compiled.py).
"""

import io
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import fastavro
from fastavro.schema import fingerprint, to_parsing_canonical_form

from schemas.compiled import Classes, Read, Write, reader_of, writer_of
from schemas.errors import HooklineError
from schemas.records import (
    Attempt,
    AttemptState,
    Claim,
    CurrentRound,
    Cursor,
    DeadLetter,
    Delivery,
    Event,
    EventTypeDefinition,
    FilterErrors,
    OnExhaustion,
    Ordering,
    PastAttempt,
    Position,
    SignatureStyle,
    Subscription,
)

MARKER: Final = b"\xc3\x01"
_HEADER_BYTES: Final = 10
_FOLDER: Final = Path(__file__).parent / "avro"

Record = (
    Event
    | Delivery
    | Attempt
    | DeadLetter
    | Subscription
    | CurrentRound
    | Cursor
    | Claim
    | EventTypeDefinition
    | FilterErrors
)
R = TypeVar(
    "R",
    Event,
    Delivery,
    Attempt,
    DeadLetter,
    Subscription,
    CurrentRound,
    Cursor,
    Claim,
    EventTypeDefinition,
    FilterErrors,
)
_Fields = dict[str, Any]  # what fastavro reads and writes; it does not leave this module


class UnreadableRecord(HooklineError):
    """These bytes are not a record of the class asked for.

    Its text quotes no more of them than the schema's fingerprint: they may hold anything.
    """


def encode(record: Record) -> bytes:
    """Return a record's bytes."""
    return _writer(type(record).__name__)(record)


def decode(record_class: type[R], value: bytes | None) -> R:
    """Return the record in `value`.

    Raises UnreadableRecord for a tombstone, another encoding, a schema that is not ours or bytes that end early.
    """
    if value is None:
        raise UnreadableRecord("no value (a tombstone) where a record must be")
    if value[:2] != MARKER:
        raise UnreadableRecord(
            f"does not begin with C3 01, so it is not Avro single-object encoding ({len(value)} bytes)"
        )
    own_fingerprint, read = _reader(record_class.__name__)
    fingerprint = value[2:_HEADER_BYTES]
    try:
        if fingerprint != own_fingerprint:
            return cast(R, _read_released(record_class.__name__, fingerprint, value))
        record, end = read(value, _HEADER_BYTES)
        if end < len(value):
            raise UnreadableRecord(f"bytes left over after the {record_class.__name__}")
        if end > len(value):
            raise EOFError
        return cast(R, record)
    except UnreadableRecord:
        raise
    except Exception as error:  # noqa: BLE001 - fastavro raises EOFError, IndexError, UnicodeDecodeError and more
        # Without its cause: "'…' is not a valid AttemptState" would carry the value into a traceback.
        raise UnreadableRecord(f"not a whole {record_class.__name__}: {type(error).__name__}") from None


def fingerprint_of(schema: object) -> bytes:
    """Return a schema's CRC-64-AVRO as the 8 little-endian bytes that the encoding carries."""
    canonical = to_parsing_canonical_form(schema)
    return bytes.fromhex(fingerprint(canonical, "CRC-64-AVRO"))


@cache
def schema_of(name: str) -> _Fields:
    """Return today's parsed Avro schema of a record class by its name."""
    return cast(_Fields, fastavro.parse_schema(json.loads((_FOLDER / f"{name}.avsc").read_text()), {}))


@cache
def _writer(name: str) -> Write:
    schema = schema_of(name)
    return writer_of(schema, _RECORD_CLASSES, beginning=MARKER + fingerprint_of(schema))


@cache
def _reader(name: str) -> tuple[bytes, Read]:
    schema = schema_of(name)
    return fingerprint_of(schema), reader_of(schema, _RECORD_CLASSES)


def _read_released(name: str, fingerprint: bytes, value: bytes) -> Record:
    """Return a record that an earlier release wrote, or one of another writer of its schema."""
    writer_schema = _released(name).get(fingerprint)
    if writer_schema is None:
        raise UnreadableRecord(f"schema {fingerprint.hex()} is no version of {name} that this release knows")
    source = io.BytesIO(value)
    source.seek(_HEADER_BYTES)
    values = fastavro.schemaless_reader(source, writer_schema, schema_of(name))
    if source.read(1):
        raise UnreadableRecord(f"bytes left over after the {name}")
    # Written anew as today's and read again: how a record is built from its fields stands in one place.
    today = io.BytesIO()
    fastavro.schemaless_writer(today, schema_of(name), values)
    record, _ = _reader(name)[1](today.getvalue(), 0)
    return cast(Record, record)


@cache
def _released(name: str) -> Mapping[bytes, _Fields]:
    paths = sorted((_FOLDER / "released").glob(f"{name}.*.avsc"))
    schemas = [cast(_Fields, fastavro.parse_schema(json.loads(path.read_text()), {})) for path in paths]
    return {fingerprint_of(schema): schema for schema in schemas}


_RECORD_CLASSES: Final = Classes(
    {
        f"hookline.{record_class.__name__}": record_class
        for record_class in (
            *(Event, Delivery, Attempt, DeadLetter, Subscription, CurrentRound, Cursor, Claim),
            *(EventTypeDefinition, FilterErrors, Position, PastAttempt),
        )
    },
    {
        (Attempt, "state"): AttemptState,
        (Subscription, "ordering"): Ordering,
        (Subscription, "on_exhaustion"): OnExhaustion,
        (Subscription, "signature_style"): SignatureStyle,
    },
)
