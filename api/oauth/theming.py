"""An organization's colours on its pages: a stylesheet of their own, because the pages allow no inline style."""

import re
from typing import Final

_COLOUR: Final = re.compile(r"#([0-9a-fA-F]{6})")
_NAME: Final = re.compile(r"([0-9a-f]{6})-([0-9a-f]{6})")
DEFAULT_PRIMARY: Final = "#1f4b99"
DEFAULT_ACCENT: Final = "#0b6b57"


def theme_name(primary: str | None, accent: str | None) -> str:
    """Return the name of the stylesheet of two colours, `rrggbb-rrggbb`; what is no `#rrggbb` gives way to ours."""
    return "-".join(
        _digits(given) or _digits(default) for given, default in ((primary, DEFAULT_PRIMARY), (accent, DEFAULT_ACCENT))
    )


def theme_of(name: str) -> str | None:
    """Return the stylesheet of a name as `theme_name` writes it; None for any other."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    primary, accent = found.groups()
    return f":root {{ --primary: #{primary}; --on-primary: {_text_on(primary)}; --accent: #{accent}; }}\n"


def _digits(colour: str | None) -> str:
    found = _COLOUR.fullmatch(colour or "")
    return found[1].lower() if found else ""


def _text_on(digits: str) -> str:
    """Return black or white, whichever can be read on a colour (WCAG 2.2, relative luminance and contrast)."""
    channels = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in channels]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if (luminance + 0.05) / 0.05 >= 1.05 / (luminance + 0.05) else "#ffffff"
