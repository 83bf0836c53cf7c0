"""Which passwords are good enough, and what is kept of them."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pwdlib.hashers.bcrypt import BcryptHasher

from api.users import passwords
from api.users.passwords import Verdict, accept, check_password, hashed, verified
from schemas.errors import InvalidInput

pytestmark = pytest.mark.usefixtures("full_hashes")

EMAIL = "ada.lovelace@example.com"
LENGTH = "must have 8 to 256 characters"
COMMON = "common passwords"


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("", LENGTH),
        ("short7!", LENGTH),
        ("x7" * 128 + "y", LENGTH),
        ("ﬁﬁﬁ", LENGTH),  # three ligatures are six letters
        ("aaaaaaaa", "different characters"),
        ("abababababab", "different characters"),
        ("password", COMMON),
        ("Password", COMMON),
        ("PASSW0RD", COMMON),
        ("ｐａｓｓｗｏｒｄ", COMMON),  # full-width letters read as letters do
        ("12345678", COMMON),
        ("1234567890", COMMON),
        ("qwertyuiop", COMMON),
        ("1q2w3e4r5t", COMMON),
        ("iloveyou", COMMON),
        ("sunshine", COMMON),
        ("princess1", COMMON),
        ("Password2026!", COMMON),  # a common one with an ending
        ("!!football99", COMMON),
        ("trustno1", COMMON),
        (EMAIL, "the e-mail address"),
        (EMAIL.upper(), "the e-mail address"),
        ("ada.lovelace", "the e-mail address"),
        ("good\x07password", "control characters"),
        ("good\npassword", "control characters"),
    ],
)
def test_a_weak_password_is_refused_with_its_reason(password: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why) as refused:
        check_password(password, email=EMAIL, pointer="/new")
    assert refused.value.pointer == "/new"
    assert password in {"", "password"} or password not in str(refused.value)  # errors are logged and shown


@pytest.mark.parametrize(
    "password",
    [
        "correct horse",
        "пароль-и-ещё",
        "密码密碼パスワード",
        "x7" * 127 + "yz",
        "football and 7 geese",
        "ada.lovelace@example.org!",
        "       q1w2",
    ],
)
def test_others_are_good_enough(password: str) -> None:
    check_password(password, email=EMAIL)


def test_thousands_of_common_ones_are_known_and_none_is_a_remark() -> None:
    assert len(passwords._common()) > 10_000
    assert not any(each.startswith("#") for each in passwords._common())


async def test_a_password_is_kept_as_argon2id_and_verifies_however_it_was_typed() -> None:
    kept = await hashed("Ångström-1é")
    assert kept.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert await verified("A\u030angstro\u0308m-1e\u0301", kept) == Verdict(holds=True)
    assert await verified("Ångström-1e", kept) == Verdict(holds=False)
    assert await hashed("Ångström-1é") != kept  # salted


async def test_a_bcrypt_hash_verifies_once_and_brings_argon2() -> None:
    kept = BcryptHasher(rounds=4).hash("hunter2 hunter3")
    assert await verified("hunter2 hunter4", kept) == Verdict(holds=False)
    verdict = await verified("hunter2 hunter3", kept)
    assert verdict.holds
    assert verdict.new_hash is not None
    assert verdict.new_hash.startswith("$argon2id$")
    assert await verified("hunter2 hunter3", verdict.new_hash) == Verdict(holds=True)


@pytest.mark.parametrize("password", ["é" * 100, "nul\x00nul"])
async def test_what_bcrypt_cannot_read_is_no_error(password: str) -> None:
    assert await verified(password, BcryptHasher(rounds=4).hash("another")) == Verdict(holds=False)


async def test_another_scheme_can_be_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    class Reversed:
        def identify(self, kept: str) -> bool:
            return kept.startswith("reversed:")

        def verify(self, password: str, kept: str) -> bool:
            return kept == f"reversed:{password[::-1]}"

    monkeypatch.setattr(passwords, "_FOREIGN", list(passwords._FOREIGN))
    assert await verified("abc", "reversed:cba") == Verdict(holds=False)
    accept(Reversed())
    verdict = await verified("abc", "reversed:cba")
    assert verdict.holds
    assert str(verdict.new_hash).startswith("$argon2id$")


@pytest.mark.parametrize("kept", [None, "", "plain text", "$unknown$x"])
async def test_what_nobody_has_costs_a_hash_too(kept: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    argon2 = passwords._ARGON2

    class Counting:
        hash = argon2.hash
        identify = argon2.identify

        def verify(self, password: str, known: str) -> bool:
            asked.append(known)
            return argon2.verify(password, known)

    monkeypatch.setattr(passwords, "_ARGON2", Counting())
    assert await verified("whatever it is", kept) == Verdict(holds=False)
    assert len(asked) == 1
    assert asked[0].startswith("$argon2id$v=19$m=65536,t=3,p=4$")


async def test_a_password_longer_than_any_is_not_hashed_whole() -> None:
    kept = await hashed("x" * 256)
    assert await verified("x" * 100_000, kept) == Verdict(holds=False)


@settings(max_examples=200)
@given(st.text(max_size=300))
def test_any_text_is_judged_without_a_crash(password: str) -> None:
    with suppress(InvalidInput):
        check_password(password, email=EMAIL)
