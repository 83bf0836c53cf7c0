"""What e-mails say: Jinja templates, a `.txt` whose first line is the subject and a `.html`, under one organization's
name and colour.

What stands in them was often written by somebody who wants it to be something else. HTML is escaped, and every text
becomes one line of what can be printed: nobody adds a paragraph, or turns the line around.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from api.mail.queueing import Template
from schemas.json_values import Json

_LONGEST_TEXT: Final = 300  # characters of one parameter
_PLAIN_COLOR: Final = "#3f3f46"
_COLOR: Final = re.compile(r"#[0-9A-Fa-f]{6}")
_REASONS: Final = {  # api/projection/disabling.py, Reason
    "gone": "the receiver says that it is gone for good (410)",
    "exhausted": "too many deliveries in a row were given up",
    "failing": "its attempts failed for too long",
}

_TEMPLATES: Final = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=select_autoescape(["html"]),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)


@dataclass(frozen=True, slots=True)
class Brand:
    """How an organization is shown: its name, a colour as `#rrggbb`, and a logo or None."""

    name: str
    color: str
    logo_url: str | None


@dataclass(frozen=True, slots=True)
class Link:
    """A signed link, and until when it can be used."""

    url: str
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class Rendered:
    """An e-mail's words."""

    subject: str
    text: str
    html: str


def brand_of(*, name: str, color: str | None, logo_url: str | None) -> Brand:
    """Return what can be shown of a branding: what is no colour or no https URL is left out."""
    is_color = color is not None and _COLOR.fullmatch(color)
    is_logo = logo_url is not None and logo_url.startswith("https://")
    return Brand(one_line(name), color if color and is_color else _PLAIN_COLOR, logo_url if is_logo else None)


def rendered(template: Template, parameters: Mapping[str, Json], *, brand: Brand, link: Link | None) -> Rendered:
    """Return an e-mail's words; raises jinja2.UndefinedError when a parameter is missing."""
    given: dict[str, object] = {
        name: one_line(value) if isinstance(value, str) else value for name, value in parameters.items()
    }
    given |= {"brand": brand, "why": _REASONS.get(str(parameters.get("reason")), "it failed")}
    if link is not None:
        given |= {"link": link.url, "link_ends_at": f"{link.ends_at:%Y-%m-%d %H:%M} UTC"}
    first, _, text = _TEMPLATES.get_template(f"{template}.txt").render(given).strip().partition("\n")
    subject = one_line(first)
    html = _TEMPLATES.get_template(f"{template}.html").render(given, subject=subject)
    return Rendered(subject, text.strip() + "\n", html)


def one_line(text: str) -> str:
    """Return a text as one line, without control characters and what turns writing around, and not too long."""
    line = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return line if len(line) <= _LONGEST_TEXT else f"{line[: _LONGEST_TEXT - 1]}…"
