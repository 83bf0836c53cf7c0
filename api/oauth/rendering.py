"""Pages: Jinja templates that escape everything, and the headers that every one of them has.

No page has a script or an inline style, and none may be framed (RFC 9700, 4.16). `form-action` holds for what a form's
answer redirects to as well (Chromium: https://github.com/w3c/webappsec-csp/issues/8), so a page whose form may end at a
client names that client's origin, and no other page names anything but ours.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from fastapi import Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from api.oauth.theming import theme_name

_FOLDER: Final = Path(__file__).parent / "templates"
_ENVIRONMENT: Final = Environment(
    loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
STYLES: Final = (_FOLDER / "pages.css").read_bytes()
STYLES_NAME: Final = f"pages-{hashlib.sha256(STYLES).hexdigest()[:16]}.css"
KEPT_FOR_GOOD: Final = "public, max-age=31536000, immutable"
# Of redirects too: a code in an address must not go on in a Referer.
HEADERS: Final[Mapping[str, str]] = {
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def page(
    template: str, *, status: int = 200, goes_to: str | None = None, theme: str | None = None, **values: object
) -> Response:
    """Return a page; `goes_to` is the redirect URI of the client that its form may end at, found to be its own."""
    text = _ENVIRONMENT.get_template(template).render(
        styles=f"/oauth/assets/{STYLES_NAME}",
        theme=f"/oauth/themes/{theme or theme_name(None, None)}.css",
        **values,
    )
    headers = {**HEADERS, "Content-Security-Policy": policy_of(goes_to)}
    return Response(text, status, headers=headers, media_type="text/html")


def redirect(url: str) -> Response:
    """Return a 303: whatever the request was, a password in its body is not sent on (RFC 9700, 4.12)."""
    headers = {**HEADERS, "Content-Security-Policy": policy_of(None), "Location": url}
    return Response(status_code=303, headers=headers)


def policy_of(goes_to: str | None) -> str:
    """Return the Content-Security-Policy of a page whose form may end at a redirect URI."""
    form_action = "'self'" if goes_to is None else f"'self' {source_of(goes_to)}"
    return (
        "default-src 'none'; style-src 'self'; img-src 'self' https:; "
        f"form-action {form_action}; frame-ancestors 'none'; base-uri 'none'"
    )


def source_of(redirect_uri: str) -> str:
    """Return a registered redirect URI as a source of CSP (https://www.w3.org/TR/CSP3/#framework-directive-source-list).

    Its origin; its scheme where CSP has no way to write more: private-use schemes (RFC 8252, 7.1), IPv6 literals.
    """
    parts = urlsplit(redirect_uri)
    if parts.scheme not in {"http", "https"} or "[" in parts.netloc:
        return f"{parts.scheme}:"
    return f"{parts.scheme}://{parts.netloc}"


def web_url(url: str | None) -> str | None:
    """Return a URL that a page may link to or show: https only."""
    return url if url is not None and url.startswith("https://") and url.isprintable() else None
