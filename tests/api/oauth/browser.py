"""A browser without scripts: it keeps cookies, reads pages and sends their forms."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import parse_qsl, urlsplit

import httpx

_VOID = {"meta", "link", "img", "input", "br"}


@dataclass
class Form:
    method: str
    action: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[tuple[str, str]] = field(default_factory=list)


class Page(HTMLParser):
    """What a page holds."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__()
        assert response.headers["content-type"] == "text/html; charset=utf-8", response.text
        self.forms: list[Form] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self.labelled: set[str] = set()
        self.text = ""
        self._open: list[str] = []
        self.feed(response.text)
        self.close()
        assert self._open == [], "every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        assert len(given) == len(attrs), "no attribute comes twice"
        self.tags.append((tag, given))
        if tag not in _VOID:
            self._open.append(tag)
        if tag == "form":
            self.forms.append(Form(given["method"] or "get", given["action"] or ""))
        elif tag in {"input", "select"} and given.get("name"):
            self.forms[-1].fields[given["name"] or ""] = given.get("value") or ""
        elif tag == "button" and given.get("name"):
            self.forms[-1].buttons.append((given["name"] or "", given["value"] or ""))
        elif tag == "label":
            self.labelled.add(given["for"] or "")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._open:
            self.texts[self._open[-1]] = self.texts.get(self._open[-1], "") + data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def has_form(self, action: str) -> bool:
        return [form.action for form in self.forms] == [action]

    def form_to(self, action: str) -> Form:
        found = [form for form in self.forms if form.action == action]
        assert len(found) == 1, self.text
        return found[0]


def answer_in(response: httpx.Response) -> dict[str, str]:
    """Return what a redirect takes to the client."""
    assert response.status_code == 303, response.text
    pairs = parse_qsl(urlsplit(response.headers["location"]).query, keep_blank_values=True, errors="surrogateescape")
    assert len(dict(pairs)) == len(pairs), "a client that reads the first of two would read a stranger's"
    return dict(pairs)
