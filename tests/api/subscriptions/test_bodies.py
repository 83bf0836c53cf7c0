"""A caller's own secret: Standard Webhooks' way of writing it, or an older system's."""

import pytest
from pydantic import SecretStr

from api.subscriptions.bodies import key_of_given
from schemas.errors import InvalidInput

BYTES = bytes(range(32))


@pytest.mark.parametrize(
    "secret", ["whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", BYTES.hex(), BYTES.hex().upper()]
)
def test_one_key_has_two_ways_to_be_written(secret: str) -> None:
    assert key_of_given(SecretStr(secret)) == BYTES


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
