"""Expressions and events made to cost as much as they can: what one of them takes is what a worker may stand still."""

from collections.abc import Callable
from typing import Final

from schemas.json_values import Json

Make = Callable[[int], Json]  # data of about so many bytes


def text(size: int) -> Json:
    """One text, of a single letter: the worst for what looks for a beginning."""
    return {"s": "a" * size}


def halves(size: int) -> Json:
    """A text and one that almost fits at each of its places."""
    return {"s": "a" * (size * 2 // 3), "t": "a" * (size // 3) + "b"}


def numbers(size: int) -> Json:
    """As many items as there can be."""
    return {"l": [1] * (size // 2)}


def two_lists(size: int) -> Json:
    """Two lists that are equal."""
    return {"l": [1] * (size // 4), "m": [1] * (size // 4)}


def two_maps(size: int) -> Json:
    """Two objects that are equal."""
    fields: Json = {str(at): 1 for at in range(size // 18)}
    return {"l": fields, "m": fields}


def list_and_text(size: int) -> Json:
    """Half a list, half a text."""
    return {"l": [1] * (size // 4), "s": "a" * (size // 2)}


def many_and_large(size: int) -> Json:
    """Some thousand items, and a text of all the rest: the worst for what costs a little for each byte."""
    items = min(3500, size // 6)
    return {"l": [1] * items, "s": "a" * (size - 2 * items - 60), "m": {"b": 1}}


def empty(size: int) -> Json:
    """Two equal lists of empty objects."""
    objects: Json = [{}] * (size // 6)
    return {"l": objects, "m": objects}


def texts(size: int) -> Json:
    """Many short texts."""
    return {"l": ["2026-01-01T00:00:00Z"] * (size // 23)}


def nested(size: int) -> Json:
    """Lists in a list."""
    return {"l": [[1] * 30] * (size // 62)}


ATTACKS: Final[list[tuple[str, Make]]] = [
    ("data.s.contains('ab')", text),
    ("data.s.contains('" + "a" * 500 + "b')", text),
    ("||".join(["data.s.contains('ab')"] * 20), text),
    ("data.s.contains(data.t)", halves),
    ("data.s.size() < 0", text),
    ("(data.s + data.s).endsWith('b')", text),
    ("(" + "+".join(["data.s"] * 16) + ").endsWith('b')", text),
    ("data.s.matches('a*b')", text),
    ("data.s.matches('(a|b)*a(a|b){8}c')", text),
    ("data.s.matches('((a{10}){5}|b)+c')", text),
    ("data.s.matches('(?i)[^b]*(.*)(.*)b')", text),
    (r"data.s.matches('\\pL+b')", text),
    ("data.l.exists(x, x < 0)", numbers),
    ("data.l.exists_one(x, x < 0)", numbers),
    ("data.l.all(x, data.l.all(y, y > 0))", numbers),
    ("data.l.all(x, data.l.all(y, data.l.all(z, z > 0)))", numbers),
    ("data.l.map(x, x + 1).size() < 0", numbers),
    ("data.l.filter(x, x > 0).size() < 0", numbers),
    ("data.l.map(x, data.l).size() < 0", numbers),
    ("data.l.map(x, data.s + 'a').size() < 0", list_and_text),
    ("data.l.exists(x, (data.s + 'a').endsWith('b'))", list_and_text),
    ("data.l.exists(x, data.s.contains('ab'))", list_and_text),
    ("data.l.exists(x, x in data.m && x < 0)", two_lists),
    ("data.l.exists(x, (x + 5) in data.m)", two_lists),
    ("data.l != data.m", two_lists),
    ("data.l != data.m", two_maps),
    ("data.l.exists(x, data.l != data.m)", two_maps),
    ("(data.l + data.m).size() < 0", two_lists),
    ("data.l.exists(x, string(x) == 'a')", numbers),
    ("data.l.exists(x, timestamp(x) > created_at)", texts),
    ("data.l.exists(x, x.matches('^[0-9]{4}$'))", texts),
    ("data.l.exists(x, x.exists(y, y < 0))", nested),
    ("data.l.exists(x, data.l.exists(y, x == y && x.size() < 0))", nested),
    ("duration(data.s) == duration('1s')", text),
    ("double(data.s) == 1.0", text),
    ("data.l.exists(x, data.l.map(y, y + x).size() < 0)", numbers),
    ("data.l.exists(x, x.getFullYear() < 0)", texts),
    ("data.l.exists(x, data.m[data.s] == 1 || x < 0)", many_and_large),
    ("data.l.exists(x, {'a': 1}[data.s] == 1 || x < 0)", many_and_large),
    ("data.l.exists(x, {data.s: 1}.size() < 0)", many_and_large),
    ("data.l.exists(x, data.s in {'a': 1})", many_and_large),
    ("data.l.exists(x, data.s == 'b')", many_and_large),
    ("data.l.exists(x, [data.s, data.s][1] == 'b')", many_and_large),
    ("data.l.exists(x, bytes(data.s) == b'b')", many_and_large),
    ("data.l.exists(x, string(data.s) == 'b')", many_and_large),
    ("data.l.exists(x, data.s < 'b' && x < 0)", many_and_large),
    ("data.l.exists(x, data.s.endsWith('b'))", many_and_large),
    ("data.l.exists(x, data.s.contains('c') || data.m.b < 0)", many_and_large),
    ("data.l != data.m", empty),
    ("data.l.map(k, {k: [k, k, k], 'a': data.s}).size() < 0", list_and_text),
]
