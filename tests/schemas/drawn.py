"""Hypothesis strategies: any record of each class, with every field, and any JSON."""

from datetime import UTC, datetime
from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from schemas.codec import Record
from schemas.records import (
    Attempt,
    Claim,
    CurrentRound,
    Cursor,
    DeadLetter,
    Delivery,
    Event,
    EventTypeDefinition,
    FilterErrors,
    Subscription,
)

RECORD_CLASSES: tuple[type[Any], ...] = (
    *(
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
    ),
)
INTS = {
    *("partition", "attempt", "status", "transformation_version", "most_in_flight", "rate_limit", "rate_period_s"),
}  # Avro's int; the other whole numbers are long

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
moments = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001 - the bounds
json_texts = texts.filter(lambda text: "\x00" not in text)
json_objects = st.dictionaries(
    json_texts,
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(1 << 63), (1 << 64) - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | json_texts,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(json_texts, inner, max_size=3),
        max_leaves=10,
    ),
    max_size=4,
)


def _of(kind: Any, name: str) -> st.SearchStrategy[Any]:
    if hasattr(kind, "__supertype__"):
        return _of(kind.__supertype__, name)
    if isinstance(kind, UnionType):
        return st.one_of(*(_of(arm, name) for arm in get_args(kind)))
    if get_origin(kind) is tuple:
        return st.lists(_of(get_args(kind)[0], name), max_size=3).map(tuple)
    if get_origin(kind) is dict:
        return st.dictionaries(texts, texts, max_size=3)
    if kind is int:
        bits = 31 if name in INTS else 63
        return st.integers(-(1 << bits), (1 << bits) - 1)
    plain: dict[Any, st.SearchStrategy[Any]] = {
        str: texts,
        bytes: st.binary(max_size=30),
        bool: st.booleans(),
        NoneType: st.none(),
        datetime: moments,
        float: st.floats(allow_nan=False),
    }
    plain |= {kind: st.sampled_from(kind)} if isinstance(kind, type) and issubclass(kind, StrEnum) else {}
    return plain[kind] if kind in plain else records(kind)


def records(record_class: type[Any]) -> st.SearchStrategy[Any]:
    """Return any record of a class: its fields' own types say what may stand in them."""
    return st.builds(record_class, **{name: _of(kind, name) for name, kind in get_type_hints(record_class).items()})


def plain(record_class: type[Any]) -> Any:
    """Return one fixed record of a class, with something in every field."""
    return record_class(**{name: _plain(kind) for name, kind in get_type_hints(record_class).items()})


def _plain(kind: Any) -> Any:
    if hasattr(kind, "__supertype__"):
        return _plain(kind.__supertype__)
    if isinstance(kind, UnionType):
        return _plain(next(arm for arm in get_args(kind) if arm is not NoneType))
    if get_origin(kind) is tuple:
        return (_plain(get_args(kind)[0]),)
    fixed = {str: "x", bytes: b"y", bool: True, int: 7, float: 0.5, datetime: datetime(2026, 11, 21, tzinfo=UTC)}
    if get_origin(kind) is dict:
        return {"name": "value"}
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return next(iter(kind))
    return fixed[kind] if kind in fixed else plain(kind)


any_record: st.SearchStrategy[Record] = st.one_of(*map(records, RECORD_CLASSES))
