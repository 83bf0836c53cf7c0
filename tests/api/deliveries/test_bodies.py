"""Bodies are shown as text when they are text, and cut where no character breaks."""

import base64

import pytest

from api.deliveries.bodies import SHOWN_BYTES, readable

LONG = "é" * SHOWN_BYTES


@pytest.mark.parametrize(
    ("raw", "whole_bytes", "shown"),
    [
        (b"", 0, ("", "utf-8", False)),
        ("né".encode(), 3, ("né", "utf-8", False)),
        (b"\xff\x00", 2, (base64.b64encode(b"\xff\x00").decode(), "base64", False)),
        ("né".encode()[:2], 3, ("n", "utf-8", True)),  # kept up to the middle of a character
        ("né".encode()[:2], 2, (base64.b64encode(b"n\xc3").decode(), "base64", False)),  # it ended so: no text
        (LONG.encode(), len(LONG) * 2, ("é" * (SHOWN_BYTES // 2), "utf-8", True)),
        (b"x" + LONG.encode(), len(LONG) * 2 + 1, ("x" + "é" * (SHOWN_BYTES // 2 - 1), "utf-8", True)),
        (b"x" * SHOWN_BYTES, SHOWN_BYTES, ("x" * SHOWN_BYTES, "utf-8", False)),
    ],
)
def test_what_is_shown_of_a_body(raw: bytes, whole_bytes: int, shown: tuple[str, str, bool]) -> None:
    assert readable(raw, whole_bytes=whole_bytes) == shown
