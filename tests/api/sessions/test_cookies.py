"""The session's cookie: signed, and worth nothing without its signature."""

import base64

import pytest

from api.sessions.cookies import SessionCookies, csrf_token_of, digest_of, new_secret
from schemas.sealing import sealer_of
from tests.api.conftest import MASTER_KEYS

COOKIES = SessionCookies(sealer_of(MASTER_KEYS))
OTHER_KEYS = "k2:" + base64.b64encode(b"2" * 32).decode()


def test_a_secret_has_32_random_bytes_and_comes_back_from_its_cookie() -> None:
    secret = new_secret()
    assert len(base64.urlsafe_b64decode(secret + "=")) == 32
    assert new_secret() != secret
    assert COOKIES.value_of(secret).startswith(f"{secret}.")
    assert COOKIES.secret_in(COOKIES.value_of(secret)) == secret


def test_neither_the_digest_nor_the_csrf_token_gives_the_secret_away() -> None:
    secret = new_secret()
    assert len(digest_of(secret)) == 32
    assert csrf_token_of(secret) == csrf_token_of(secret)
    assert csrf_token_of(secret) != csrf_token_of(new_secret())
    assert secret not in csrf_token_of(secret)


@pytest.mark.parametrize("how", ["unsigned", "cut", "other secret", "other key", "empty", "dot", "long", "é"])
def test_a_cookie_that_we_did_not_sign_is_none(how: str) -> None:
    value = COOKIES.value_of(new_secret())
    given = {
        "unsigned": value.partition(".")[0],
        "cut": value[:-1],
        "other secret": f"{new_secret()}.{value.partition('.')[2]}",
        "other key": SessionCookies(sealer_of(OTHER_KEYS)).value_of(new_secret()),
        "empty": "",
        "dot": ".",
        "long": "x" * 10_000,
        "é": "é",
    }[how]
    assert COOKIES.secret_in(given) is None


def test_a_cookie_outlives_a_rotated_master_key() -> None:
    value = COOKIES.value_of(new_secret())
    rotated = SessionCookies(sealer_of(f"{OTHER_KEYS},{MASTER_KEYS}"))
    assert rotated.secret_in(value) == value.partition(".")[0]
    assert COOKIES.secret_in(rotated.value_of(new_secret())) is None  # the new key signs
