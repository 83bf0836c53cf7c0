"""Every e-mail renders, whoever wrote what stands in it: on one line, escaped in HTML, never in a header of its own."""

from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError

from api.mail.composing import UnfitAddress, address_of, composed, sender_of
from api.mail.queueing import Template
from api.mail.rendering import Brand, Link, brand_of, one_line, rendered

BRAND = brand_of(name="Acme", color="#ff0000", logo_url=None)
LINK = Link("https://hooks.example/reset?token=lnk_1.signed", datetime(2026, 11, 22, 9, 30, tzinfo=UTC))
AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
DISABLED = {
    "subscription_id": "sub_1",
    "url": "https://receiver.example/in",
    "reason": "gone",
    "disabled_at": "2026-11-21T12:00:00+00:00",
}
PARAMETERS: dict[Template, dict[str, Any]] = {
    Template.INVITATION: {"invited_by": "Bob", "role": "developer"},
    Template.VERIFICATION: {"name": "Ann"},
    Template.RESET: {"name": "Ann"},
    Template.SUBSCRIPTION_DISABLED: {**DISABLED, "status": 410, "failed_attempts": 1},
}
HOSTILE = (
    '</p><script>alert(1)</script>"><img src=x onerror=alert(1)>',
    "Ann\r\nBcc: everybody@example.com\r\n\r\nWin a prize",
    "\n.\nQUIT\n",
    "{{ 7 * 7 }}{% include '/etc/passwd' %}",
    "\u202egnihtemos\u2066 \x00\x1b[2J \u200b",
    "=?utf-8?q?Bcc=3A?=",
    "x" * 100_000,
    "Änn Łódź 日本 🎉",
)


class Elements(HTMLParser):
    """What a page is made of."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, tuple(name for name, _ in attrs)))


def link_of(template: Template) -> Link | None:
    return None if template is Template.SUBSCRIPTION_DISABLED else LINK


def message_of(template: Template, parameters: dict[str, Any], *, brand: Brand = BRAND) -> EmailMessage:
    """Return the message as its receiver reads it."""
    words = rendered(template, parameters, brand=brand, link=link_of(template))
    sender, recipient = sender_of("Hookline <no-reply@hooks.example>"), address_of("ann@example.com")
    wire = composed("mal_1", words, sender=sender, recipient=recipient, created_at=AT).as_bytes()
    assert max(map(len, wire.split(b"\r\n"))) <= 998, "RFC 5322, 2.1.1"
    found = message_from_bytes(wire, EmailMessage, policy=default)
    assert found.defects == []
    return found


def test_every_template_is_a_text_and_a_page() -> None:
    folder = Path(__file__).parents[3] / "api" / "mail" / "templates"
    names = {f"{template}.{kind}" for template in Template for kind in ("txt", "html")}
    assert {path.name for path in folder.iterdir()} == {*names, "base.html"}
    assert set(PARAMETERS) == set(Template)


@pytest.mark.parametrize("template", list(Template))
def test_it_says_who_writes_why_and_where_to_go(template: Template) -> None:
    parameters = PARAMETERS[template]
    words = rendered(template, parameters, brand=BRAND, link=link_of(template))
    assert words.subject
    assert "\n" not in words.subject
    for said in (words.text, words.html):
        assert "Acme" in said
        assert "#ff0000" in words.html
        shown = {"subscription_id", "url", "name", "invited_by", "role", "disabled_at", "status"} & set(parameters)
        assert [name for name in sorted(shown) if str(parameters[name]) not in said] == []
        if link_of(template) is not None:
            assert LINK.url in said
            assert "until 2026-11-22 09:30 UTC" in said
        else:
            assert "the receiver says that it is gone for good (410)" in said
    assert not words.text.startswith((words.subject, "\n"))


@pytest.mark.parametrize("template", [Template.INVITATION, Template.VERIFICATION, Template.RESET])
def test_what_need_not_be_there_is_left_out(template: Template) -> None:
    words = rendered(template, {}, brand=BRAND, link=LINK)
    assert "None" not in words.text + words.html
    assert " ," not in words.text


@pytest.mark.parametrize("template", [Template.INVITATION, Template.VERIFICATION, Template.RESET])
def test_without_its_link_it_is_no_email(template: Template) -> None:
    with pytest.raises(UndefinedError, match="'link"):
        rendered(template, PARAMETERS[template], brand=BRAND, link=None)


def test_a_parameter_that_is_missing_is_no_empty_place() -> None:
    with pytest.raises(UndefinedError, match="'url'"):
        rendered(Template.SUBSCRIPTION_DISABLED, {"subscription_id": "sub_1"}, brand=BRAND, link=None)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("template", list(Template))
def test_hostile_text_adds_no_header_no_line_and_no_element(template: Template, text: str) -> None:
    harmless = message_of(template, PARAMETERS[template])
    parameters = {name: text if isinstance(value, str) else value for name, value in PARAMETERS[template].items()}
    message = message_of(template, parameters, brand=brand_of(name=text, color=text, logo_url=text))
    assert message.keys() == harmless.keys()
    assert message["To"] == "ann@example.com"
    for part, plain in zip(message.iter_parts(), harmless.iter_parts(), strict=True):
        assert isinstance(part, EmailMessage)
        assert isinstance(plain, EmailMessage)
        said, expected = part.get_content(), plain.get_content()
        assert len(said.splitlines()) == len(expected.splitlines())
        if part.get_content_type() == "text/html":
            assert Elements(said).found == Elements(expected).found
        assert "49" not in said.replace("2026-11-22 09:30", "") or "7 * 7" in said


@given(name=st.text(max_size=400), link=st.booleans())
def test_no_text_at_all_breaks_a_message(name: str, link: bool) -> None:
    template = Template.INVITATION if link else Template.SUBSCRIPTION_DISABLED
    given = {**DISABLED, "invited_by": name, "url": name}
    message = message_of(template, given, brand=brand_of(name=name, color=name, logo_url=name))
    assert message.keys() == message_of(template, DISABLED).keys()


@pytest.mark.parametrize(
    ("color", "logo_url", "shown"),
    [
        ("#00ff7f", "https://cdn.example/logo.png", ("#00ff7f", "https://cdn.example/logo.png")),
        ("#00ff7f;background:url(//x)", "http://cdn.example/logo.png", ("#3f3f46", None)),
        ("red", "javascript:alert(1)", ("#3f3f46", None)),
        ("#00ff7f\n", "data:image/png;base64,AA", ("#3f3f46", None)),
        (None, None, ("#3f3f46", None)),
    ],
)
def test_branding_that_is_none_is_left_out(
    color: str | None, logo_url: str | None, shown: tuple[str, str | None]
) -> None:
    brand = brand_of(name="Acme", color=color, logo_url=logo_url)
    assert (brand.color, brand.logo_url) == shown
    html = rendered(Template.RESET, {}, brand=brand, link=LINK).html
    assert f"border-top:4px solid {brand.color}" in html
    assert ("<img" in html) == (brand.logo_url is not None)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("ann@example.com", "ann@example.com"),
        ("ann+tag@localhost", "ann+tag@localhost"),
        ("ann@bücher.example", "ann@xn--bcher-kva.example"),
        ('"odd.one"@example.com', None),  # it would be written in another way than it was given
        ("o'neil@example.com", "o'neil@example.com"),
        ("ann", None),
        ("", None),
        ("@example.com", None),
        ("ann@", None),
        ("ann@example.com, bob@example.com", None),
        ("Ann <ann@example.com>", None),
        ("ann@example.com\r\nBcc: bob@example.com", None),
        ("ann@example.com\n", None),
        ("ann@exam ple.com", None),
        ("ann(note)@example.com", None),
        ("jörg@example.com", None),
        ("ann@example..com", None),
        ("ann\x00@example.com", None),
        ("ann@" + "ü" * 300, None),
    ],
)
def test_what_can_be_an_address(text: str, address: str | None) -> None:
    if address is not None:
        assert address_of(text).addr_spec == address
        return
    with pytest.raises(UnfitAddress):
        address_of(text)


@given(st.text())
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        address = address_of(text)
    except UnfitAddress:
        return
    assert "\n" not in address.addr_spec
    assert address.addr_spec.isascii()


def test_a_line_is_one_line_and_not_too_long() -> None:
    assert one_line(" a\r\n\tb\u2028c\u202e ") == "a b c"
    assert len(one_line("x" * 500)) == 300
