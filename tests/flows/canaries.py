"""Secrets that were planted, looked for in bytes: as they are, encoded, reversed, in pieces of 12 characters."""

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

PIECE = 12


@dataclass(frozen=True, slots=True)
class Leak:
    """A piece of a canary, where it was found, and what stands around it."""

    canary: str
    place: str
    around: bytes


class Canaries:
    """Every form of every canary, cut into pieces; a leaked run of twelve characters of any form holds one."""

    def __init__(self, planted: Mapping[str, bytes]) -> None:
        self._pieces: dict[bytes, str] = {}
        for name, secret in planted.items():
            for form in forms_of(secret):
                pieces = (form[at : at + PIECE] for at in range(len(form) - PIECE + 1))
                self._pieces.update(dict.fromkeys(pieces, name))

    def found_in(self, places: Mapping[str, bytes]) -> list[Leak]:
        """Return one leak for each canary and place."""
        leaks: dict[tuple[str, str], Leak] = {}
        for place, text in places.items():
            slices = {text[at : at + PIECE] for at in range(len(text) - PIECE + 1)}
            for piece in slices & self._pieces.keys():
                at, canary = text.index(piece), self._pieces[piece]
                leaks.setdefault((canary, place), Leak(canary, place, text[max(0, at - 60) : at + 60]))
        return list(leaks.values())


def forms_of(secret: bytes) -> Iterable[bytes]:
    """Yield a secret and what encodings make of it, each also backwards."""
    forms = {secret, quote(secret, safe="").encode(), json.dumps(secret.decode("latin-1"))[1:-1].encode()}
    forms |= {secret.hex().encode(), secret.hex().upper().encode()}
    for shift in range(3):  # where the secret begins within the text that was encoded
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            whole = encode(b"\0" * shift + secret).rstrip(b"=")
            forms.add(whole[(0, 2, 3)[shift] : len(whole) - 1])  # its edges hold bits of the neighbours
    for form in forms:
        yield form
        yield form[::-1]
