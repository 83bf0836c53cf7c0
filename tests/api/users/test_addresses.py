"""Which e-mail addresses can be an account's."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.users.addresses import check_email, email_key_of
from schemas.errors import InvalidInput


@pytest.mark.parametrize(
    ("email", "key"),
    [
        ("user@example.com", "user@example.com"),
        ("User@Example.COM", "user@example.com"),
        ("user+tag@example.com", "user+tag@example.com"),
        ("ｕｓｅｒ@example.com", "user@example.com"),  # full-width letters are no other account
        ("ä@bücher.example", "ä@xn--bcher-kva.example"),
        ("ä@XN--BCHER-KVA.example", "ä@xn--bcher-kva.example"),
        ("root@localhost", "root@localhost"),
        ("o'neil@example.com", "o'neil@example.com"),
    ],
)
def test_an_address_is_compared_in_one_spelling(email: str, key: str) -> None:
    assert email_key_of(email) == key


@pytest.mark.parametrize(
    "email",
    [
        "",
        "user",
        "@example.com",
        "user@",
        "user@@example.com",
        "a@b@example.com",
        ".user@example.com",
        "us..er@example.com",
        "us er@example.com",
        "user@exa mple.com",
        "user@-example.com",
        "user@example..com",
        "user@[192.0.2.1]",
        '"user"@example.com',
        "user@example.com\r\nBcc: all@example.com",
        "user\x00@example.com",
        "user@example.com, other@example.com",
        "<user@example.com>",
        f"{'x' * 65}@example.com",
        f"user@{'x' * 64}.com",
        f"user@{'.'.join(['x' * 60] * 5)}",
    ],
)
def test_what_is_no_address_is_refused(email: str) -> None:
    with pytest.raises(InvalidInput, match="e-mail address"):
        check_email(email)


@given(st.text(max_size=50))
def test_any_text_is_judged_without_a_crash(text: str) -> None:
    with suppress(InvalidInput):
        email_key_of(f"{text}@example.com")
