"""A caller's own secret: Standard Webhooks' way of writing it, or an older system's."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from api.subscriptions.bodies import key_of_given
from schemas.errors import InvalidInput
from schemas.signing import signed_headers

BYTES = bytes(range(32))


def test_a_secret_of_standard_webhooks_is_the_bytes_that_it_spells() -> None:
    assert key_of_given(SecretStr("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")) == BYTES


@pytest.mark.parametrize("secret", [BYTES.hex(), BYTES.hex().upper()])
def test_a_receiver_of_an_older_system_goes_on_with_the_string_that_it_has(secret: str) -> None:
    headers = signed_headers("evt_1", b"{}", [key_of_given(SecretStr(secret))], at=datetime(2026, 11, 21, tzinfo=UTC))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.{{}}".encode()
    theirs = hmac.new(secret.encode(), signed, hashlib.sha256).digest()
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(theirs).decode()}"


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "secret-text",
        "whsec_",
        "whsec_c2hvcnQ=",
        "whsec_!",
        BYTES.hex()[:-1],
        BYTES.hex() + "0",
        "g" * 64,
        "0x" + "0" * 62,
    ],
)
def test_what_is_no_secret_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        key_of_given(SecretStr(secret))
    assert not secret or len(secret) < 8 or secret not in str(refused.value)
