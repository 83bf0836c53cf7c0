"""Texts that came from elsewhere, made fit for a terminal.

A receiver's answer may hold escape sequences that colour, overwrite or type: what is not printable is written out.
"""

import re
from typing import Final

# C0, DEL and C1; the marks that turn the direction of text around (Trojan Source, CVE-2021-42574); lone surrogates.
_UNSPEAKABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def speakable(text: str, *, keep: str = "\n\t") -> str:
    """Return the text with every character that steers a terminal written as `\\x1b` or `\\u202e`; `keep` stays."""

    def written(found: re.Match[str]) -> str:
        character = found[0]
        if character in keep:
            return character
        number = ord(character)
        return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"

    return _UNSPEAKABLE.sub(written, text.replace("\r\n", "\n") if "\n" in keep else text)
