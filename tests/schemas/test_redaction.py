"""Sensitive fields go, at any depth and however they are written; their neighbours stay."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import redaction
from schemas.errors import InvalidInput
from schemas.json_values import DEEPEST, Json
from schemas.redaction import is_sensitive, is_sensitive_cached, without_sensitive
from tests.schemas.drawn import json_objects


@pytest.mark.parametrize(
    "name",
    [
        *("password", "Password", "PASSWORD", "passWord", "newPassword", "new_password", "password2", "password_1"),
        *("passwd", "pwd", "passphrase", "pass_phrase", "passcode", "userPASSWORD", "passwords", "has_password"),
        *("password_hash", "passwordHash", "hashed_password", "password_salt", "passwordConfirmation", "old_password"),
        *("token", "tokens", "access_token", "refreshTokens", "id-token", "token2", "session token", "csrf.token"),
        *("accesstoken", "refreshtoken", "clientsecret", "newpassword"),  # CloudEvents' attributes are written so
        *("secret", "client_secret", "clientSecret", "secrets", "secret_key", "token_secret", "secret_value"),
        *("api_key", "apiKey", "APIKey", "API_KEY", "X-Api-Key", "apikey", "api_keys", "private_key", "access_key"),
        *("signing_key", "encryptionKey", "credentials", "authorization", "Authorization", "jwt"),
        *("otp", "totp", "otp_code", "mfaCode", "recovery_codes", "recoveryCode", "backup_codes", "cvv", "cvc"),
        *("authorization_code", "verification_code"),
        *("user[password]", "user:password", "$password", "password ", " password", "password:", "__password__"),
        *("user/password", "password\n", "ｐａｓｓｗｏｒｄ", "pass\u200bword", "Password-Hash"),
    ],
)
def test_goes(name: str) -> None:
    assert is_sensitive(name)
    assert without_sensitive({"a": [{name: "x", "kept": 1}]}) == {"a": [{"kept": 1}]}


@pytest.mark.parametrize(
    "name",
    [
        *("token_count", "tokenCount", "tokens_used", "tokenizer", "token_type", "token_id", "token_expires_at"),
        *("secretary", "secretary_id", "secret_id", "passenger", "password_changed_at", "password_expired", "compass"),
        *("method", "mfa_method", "totp_enabled", "mfa_enabled", "two_factor"),
        *("recovery_codes_generated", "recovery_codes_count", "recovery_codes_left", "code", "country_code", "codes"),
        *("key", "public_key", "key_id", "access_key_id", "api_key_id", "keys", "monkey", "keyboard"),
        *("email", "id", "name", "authorized", "authorization_url", "credentials_rotated", "author", "", "_", "!"),
    ],
)
def test_stays(name: str) -> None:
    assert not is_sensitive(name)
    assert without_sensitive({name: "x"}) == {name: "x"}


@pytest.mark.parametrize("value", ["password", "totp", "webauthn", "sms", "secret"])
def test_values_stay_such_as_the_names_of_mfa_methods(value: str) -> None:
    assert without_sensitive({"method": value, "methods": [value]}) == {"method": value, "methods": [value]}


def test_a_sensitive_name_takes_all_below_it() -> None:
    assert without_sensitive({"credentials": {"user": "x", "of": [1]}, "a": 1}) == {"a": 1}


def test_a_tuple_hides_nothing() -> None:
    hidden: Json = {"a": ({"password": "x", "b": 1},)}  # type: ignore[dict-item] # what an untyped caller may give
    assert without_sensitive(hidden) == {"a": [{"b": 1}]}


@given(json_objects)
def test_no_sensitive_name_is_left_at_any_depth_and_nothing_else_is_lost(value: Json) -> None:
    assert without_sensitive(value) == expected(value)
    assert without_sensitive(without_sensitive(value)) == without_sensitive(value)


def expected(value: Json) -> Json:
    if isinstance(value, dict):
        return {name: expected(item) for name, item in value.items() if not is_sensitive(name)}
    return [expected(item) for item in value] if isinstance(value, list) else value


def test_the_value_given_is_left_as_it_is() -> None:
    given_: Json = {"a": {"password": "x"}}
    without_sensitive(given_)
    assert given_ == {"a": {"password": "x"}}


@pytest.mark.parametrize("levels", [DEEPEST + 1, 1000, 100_000])
def test_nesting_without_end_is_refused_and_exhausts_no_stack(levels: int) -> None:
    value: Json = {}
    for _ in range(levels):
        value = {"a": value}
    with pytest.raises(InvalidInput, match="deeper than 100 levels"):
        without_sensitive(value)


@given(st.text())
def test_a_remembered_verdict_is_the_verdict(name: str) -> None:
    assert is_sensitive_cached(name) == is_sensitive_cached(name) == is_sensitive(name)


def test_names_that_are_made_up_fill_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    verdicts: dict[str, bool] = {}
    monkeypatch.setattr(redaction, "_verdicts", verdicts)
    for number in range(redaction._MOST_VERDICTS + 10):
        is_sensitive_cached(f"n{number}")
    assert len(verdicts) == redaction._MOST_VERDICTS
    verdicts.clear()
    assert not is_sensitive_cached("n" * 200_000)
    assert not verdicts
