"""Forms on our pages: the signed value that each carries, and what of a request's body is taken.

A form's value says which request it belongs to and which browser it was given to. It is signed with a key that is not
in the database, and it ends (https://itsdangerous.palletsprojects.com/): another site can neither make one nor use one.
"""

import hashlib
import re
import secrets
from collections.abc import Iterable, Mapping
from datetime import timedelta
from enum import StrEnum
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from fastapi import Request, Response
from itsdangerous import BadData, URLSafeTimedSerializer

from api.errors import BodyTooLarge, Forbidden, Refusal
from api.services import Services
from schemas.sealing import Sealer

_MOST_BYTES: Final = 64 * 1024
_COOKIE: Final = "__Host-hookline_form"
_DEVELOPMENT_COOKIE: Final = "hookline_form"
_BROWSER: Final = re.compile(r"[A-Za-z0-9_-]{43}")


class FormPurpose(StrEnum):
    """What a form is for: a value of another one is none."""

    SIGN_IN = "sign-in"
    SIGN_OUT = "sign-out"
    CHOICE = "choice"
    CONSENT = "consent"
    LINK = "link"


# Long enough to find a password or to ask a colleague; a page that was left open for a day acts no more.
_LIFETIME: Final = timedelta(minutes=30)


class UnfitForm(Refusal):
    """A form cannot be read."""

    status = HTTPStatus.BAD_REQUEST


class SignedForms:
    """Signs and reads the values that forms carry."""

    def __init__(self, sealer: Sealer) -> None:
        self._keys = sealer.derived("signed-forms")[::-1]  # itsdangerous signs with the last one

    def sign(self, purpose: FormPurpose, values: Mapping[str, str]) -> str:
        """Return the text for a hidden field."""
        return str(self._serializer(purpose).dumps(dict(values)))

    def read(self, purpose: FormPurpose, text: str) -> dict[str, str]:
        """Return what was signed; raises Forbidden when we did not sign it for this, or too long ago."""
        try:
            values: dict[str, str] = self._serializer(purpose).loads(text, max_age=int(_LIFETIME.total_seconds()))
        except (BadData, UnicodeError):
            raise Forbidden("this page is not valid (any more): go back and begin again") from None
        return values

    def _serializer(self, purpose: FormPurpose) -> URLSafeTimedSerializer:
        return URLSafeTimedSerializer(
            self._keys,
            salt=f"hookline form {purpose}",
            signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
        )


def forms_of(services: Services) -> SignedForms:
    """Return what signs this process's forms."""
    return SignedForms(services.sealer)


async def fields_of(request: Request, names: Iterable[str]) -> dict[str, str]:
    """Return a form's fields, "" for those that are missing.

    Raises UnfitForm for a field that the form does not have, one that comes twice and a body that is no form;
    BodyTooLarge.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise UnfitForm("send the form as the page has it")
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > _MOST_BYTES:
            raise BodyTooLarge(f"the form may have {_MOST_BYTES:,} bytes", headers={"Connection": "close"})
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=20)
    except ValueError:  # not ASCII, not UTF-8, too many
        raise UnfitForm("send the form as the page has it") from None
    found = dict.fromkeys(names, "")
    if len(dict(pairs)) != len(pairs) or not found.keys() >= dict(pairs).keys():
        raise UnfitForm("send the form as the page has it: each of its fields once, and no others")
    if any("\x00" in value for _, value in pairs):
        raise UnfitForm("the form holds a character (U+0000) that nothing can keep")
    return found | dict(pairs)


def check_same_site(request: Request, services: Services) -> None:
    """Raise Forbidden when another site's page sent a form.

    `Sec-Fetch-Site` decides where there is one. Our pages have the policy no-referrer, with which browsers send
    `Origin: null` (https://fetch.spec.whatwg.org/#append-a-request-origin-header): that says nothing, and the signed
    value does.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        if site not in {"same-origin", "none"}:
            raise Forbidden("another site's page sent this form")
        return
    origin = request.headers.get("origin", "null")
    ours = {request.headers.get("host", ""), urlsplit(services.settings.public_url).netloc}
    if origin != "null" and urlsplit(origin).netloc not in ours:
        raise Forbidden("another site's page sent this form")


def browser_of(request: Request, services: Services) -> str | None:
    """Return the secret of a browser that nobody is signed in with yet; None when it has none."""
    found = request.cookies.get(_cookie_name(services), "")
    return found if _BROWSER.fullmatch(found) else None


def new_browser() -> str:
    """Return a fresh secret for a browser's cookie."""
    return secrets.token_urlsafe(32)


def set_browser(response: Response, services: Services, browser: str) -> None:
    """Let a browser keep its secret until it is closed."""
    response.set_cookie(
        _cookie_name(services),
        browser,
        path="/",
        secure=not services.settings.development,
        httponly=True,
        samesite="lax",
    )


def digest_of_browser(browser: str) -> str:
    """Return what a form says of the browser that it was given to: a page's source is no cookie."""
    return hashlib.sha256(browser.encode()).hexdigest()


def _cookie_name(services: Services) -> str:
    return _DEVELOPMENT_COOKIE if services.settings.development else _COOKIE
