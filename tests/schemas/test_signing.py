"""Signatures: the published vector first, then an independent verifier."""

import base64
import traceback
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from schemas.errors import InvalidInput
from schemas.records import SignatureStyle
from schemas.signing import (
    ID_HEADER,
    LONGEST_SECRET_BYTES,
    PREFIX,
    SHORTEST_SECRET_BYTES,
    SIGNATURE_HEADER,
    SIGNATURE_HEADERS,
    TIMESTAMP_HEADER,
    hmac_key,
    key_of,
    new_secret,
    signed_headers,
)

keys = st.binary(min_size=SHORTEST_SECRET_BYTES, max_size=LONGEST_SECRET_BYTES)


def secret_of(key: bytes) -> str:
    return PREFIX + base64.b64encode(key).decode()


def test_the_vector_of_the_reference_libraries() -> None:
    """https://github.com/standard-webhooks/standard-webhooks: the libraries' own tests sign this."""
    assert signed_headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        b'{"test": 2432232314}',
        [key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")],
        at=datetime.fromtimestamp(1614265330, UTC),
    ) == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def is_accepted(secret: str, body: bytes, headers: dict[str, str]) -> bool:
    """Return what the independent verifier says."""
    try:
        Webhook(secret).verify(body, headers, json_parse=False)
    except WebhookVerificationError:
        return False
    return True


@given(st.lists(keys, min_size=1, max_size=3, unique=True), st.text(st.characters(exclude_categories=["Cs"])))
def test_an_independent_verifier_accepts_each_key_of_a_rotation(rotated: list[bytes], text: str) -> None:
    body = text.encode()
    headers = signed_headers("evt_1", body, rotated, at=datetime.now(UTC))
    assert len(headers[SIGNATURE_HEADER].split(" ")) == len(rotated)
    assert all(is_accepted(secret_of(key), body, headers) for key in rotated)
    assert not is_accepted(secret_of(rotated[0]), body + b" ", headers)


@pytest.mark.parametrize("name", [ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER])
def test_every_header_is_signed_for(name: str) -> None:
    now, secret = datetime.now(UTC), new_secret()
    headers = signed_headers("evt_1", b"{}", [key_of(secret)], at=now)
    other = signed_headers("evt_2", b"{}", [key_of(new_secret())], at=now + timedelta(seconds=1))
    assert is_accepted(secret, b"{}", headers)
    assert not is_accepted(secret, b"{}", {**headers, name: other[name]})


def test_rotation_signs_with_the_newest_key_first() -> None:
    now, new, old = datetime.now(UTC), b"n" * 24, b"o" * 24
    both = signed_headers("evt_1", b"{}", [new, old], at=now)[SIGNATURE_HEADER]
    alone = [signed_headers("evt_1", b"{}", [key], at=now)[SIGNATURE_HEADER] for key in (new, old)]
    assert both == " ".join(alone)


@pytest.mark.parametrize("late", [timedelta(0), timedelta(days=1)])
def test_the_timestamp_is_the_attempts_own_in_whole_seconds(late: timedelta) -> None:
    at = datetime(2026, 11, 21, 12, 0, 0, 999_999, tzinfo=UTC) + late
    assert signed_headers("evt_1", b"", [b"k"], at=at)[TIMESTAMP_HEADER] == str(int(at.timestamp()))


@pytest.mark.parametrize("style", SignatureStyle)
@pytest.mark.parametrize("name", [None, "X-Optio-Signature", "Webhook-Signature"])
def test_a_signature_stands_under_the_subscribers_name_or_the_styles_own(
    style: SignatureStyle, name: str | None
) -> None:
    headers = signed_headers("evt_1", b"{}", [b"k"], at=datetime.now(UTC), style=style, name=name)
    timestamp = {TIMESTAMP_HEADER} if style is SignatureStyle.STANDARD else set()
    assert set(headers) == {ID_HEADER, name or SIGNATURE_HEADERS[style]} | timestamp


def test_each_style_has_a_name_of_its_own() -> None:
    assert len(set(SIGNATURE_HEADERS.values())) == len(SIGNATURE_HEADERS) == len(SignatureStyle)


def test_a_rotating_hex_header_is_the_oldest_keys_and_beside_it_stand_the_newer_ones() -> None:
    now = datetime.now(UTC)
    alone = [
        signed_headers("evt_1", b"{}", [key], at=now, style=SignatureStyle.HEX, name="x-s")["x-s"]
        for key in (b"newest", b"newer", b"old")
    ]
    headers = signed_headers(
        "evt_1", b"{}", [b"newest", b"newer", b"old"], at=now, style=SignatureStyle.HEX, name="x-s"
    )
    assert headers == {ID_HEADER: "evt_1", "x-s": alone[2], "x-s-next": f"{alone[0]}, {alone[1]}"}


@pytest.mark.parametrize("style", [SignatureStyle.TIMESTAMPED, SignatureStyle.HEX])
@pytest.mark.parametrize(
    ("key", "given_to_hmac"),
    [
        (b"0123456789abcdefABCDEF~ !", b"0123456789abcdefABCDEF~ !"),  # a text that was brought
        (b"\x1f" * 24, b"whsec_Hx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8f"),  # ASCII, and still no text
        (b"a" * 23 + b"\n", b"whsec_YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWEK"),
        (b"a" * 23 + b"\x7f", b"whsec_YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWF/"),
        ("ein Schlüssel mit Umlaut".encode(), b"whsec_ZWluIFNjaGzDvHNzZWwgbWl0IFVtbGF1dA=="),
    ],
)
def test_hmac_is_given_a_secrets_text_where_libraries_give_it_text(
    style: SignatureStyle, key: bytes, given_to_hmac: bytes
) -> None:
    assert hmac_key(key, style) == given_to_hmac
    assert hmac_key(key, SignatureStyle.STANDARD) == key


def test_a_new_secret_is_never_taken_for_a_text() -> None:
    for _ in range(1000):
        secret = new_secret()
        assert hmac_key(key_of(secret), SignatureStyle.HEX) == secret.encode()


@given(keys)
def test_a_secret_is_its_key(key: bytes) -> None:
    assert key_of(secret_of(key)) == key


def test_new_secrets_are_32_random_bytes_each() -> None:
    secrets = {new_secret() for _ in range(100)}
    assert len(secrets) == 100
    assert {len(key_of(secret)) for secret in secrets} == {32}


HIDDEN = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        ("", "begins with whsec_"),
        (HIDDEN, "begins with whsec_"),
        (f"WHSEC_{HIDDEN}", "begins with whsec_"),
        (f" whsec_{HIDDEN}", "begins with whsec_"),
        (f"whsk_{HIDDEN}", "begins with whsec_"),  # of asymmetric signatures
        ("whsec_", "24 to 64 bytes, not 0"),
        (f"whsec_{HIDDEN}=", "base64"),
        (f"whsec_{HIDDEN} ", "base64"),
        (f"whsec_{HIDDEN}\n", "base64"),
        (f"whsec_{HIDDEN[:-1]}", "base64"),  # its padding is missing
        (f"whsec_{HIDDEN}ü", "base64"),
        (f"whsec_{HIDDEN[:-2]}-_", "base64"),  # of URLs
        (f"whsec_{HIDDEN}\ud800", "base64"),
        (secret_of(b"k" * 23), "24 to 64 bytes, not 23"),
        (secret_of(b"k" * 65), "24 to 64 bytes, not 65"),
    ],
)
def test_a_bad_secret_is_refused_and_never_quoted(secret: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said) as caught:
        key_of(secret)
    assert HIDDEN[:8] not in "".join(traceback.format_exception_only(caught.value))
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
