"""A quarantined record is what came in, byte for byte, and says why it is there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.quarantining import LEFT_OUT, MOST_BYTES, quarantined
from schemas.codec import UnreadableRecord, decode
from schemas.records import Delivery, Position
from schemas.topics import QUARANTINE

SOURCE = Position(topic="hookline.retry.1m", partition=3, offset=41)
REASON = [
    ("__connect.errors.topic", b"hookline.retry.1m"),
    ("__connect.errors.partition", b"3"),
    ("__connect.errors.offset", b"41"),
    ("__connect.errors.stage", b"move"),
    ("__connect.errors.exception.class.name", b"UnreadableRecord"),
    ("__connect.errors.exception.message", b"not ours"),
]
HEADERS = st.lists(st.tuples(st.text(max_size=20), st.binary(max_size=20)), max_size=4)


@given(st.none() | st.binary(), st.none() | st.binary(), HEADERS)
def test_keeps_key_value_and_headers_and_adds_why(
    key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]
) -> None:
    record = quarantined(SOURCE, key, value, headers, error=UnreadableRecord("not ours"), stage="move")
    assert (record.topic, record.key, record.value) == (QUARANTINE, key, value)
    assert record.headers == headers + REASON


def test_why_does_not_quote_the_bytes() -> None:
    with pytest.raises(UnreadableRecord) as caught:
        decode(Delivery, b"whsec_c2VjcmV0")
    record = quarantined(SOURCE, None, b"whsec_c2VjcmV0", [], error=caught.value, stage="move")
    assert not any(b"whsec" in value for _, value in record.headers)


@pytest.mark.parametrize(("key", "value", "header"), [(1, MOST_BYTES, 0), (MOST_BYTES, 1, 0), (0, 1, MOST_BYTES)])
def test_what_no_topic_would_take_is_left_out_and_named(key: int, value: int, header: int) -> None:
    headers = [("", b"h" * header)]
    record = quarantined(SOURCE, b"k" * key, b"v" * value, headers, error=UnreadableRecord("not ours"), stage="move")
    assert (record.key, record.value, record.headers[0]) == (None, None, (LEFT_OUT, str(MOST_BYTES + 1).encode()))
    assert record.headers[1:] == REASON
