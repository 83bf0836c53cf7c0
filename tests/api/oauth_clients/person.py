"""A person with a browser without scripts: follows redirects, fills in forms, presses a button."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import httpx


@dataclass
class Form:
    """A form of a page: where it goes, what it holds, and which buttons it has, by what stands on them."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: dict[str, tuple[str, str]] = field(default_factory=dict)


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self._button: tuple[str, str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(given.get("action", ""), given.get("method", "get").lower()))
        elif not self.forms:
            return
        elif tag == "input" and given.get("type") not in {"submit", "button"} and "name" in given:
            if given.get("type") not in {"radio", "checkbox"} or "checked" in given:
                self.forms[-1].fields[given["name"]] = given.get("value", "")
        elif tag == "button":
            self._button = given.get("name", ""), given.get("value", "")

    def handle_data(self, data: str) -> None:
        if self._button is not None and data.strip():
            self.forms[-1].buttons[data.strip()] = self._button
            self._button = None


def forms_of(page: str) -> list[Form]:
    """Return the forms of a page in their order."""
    parser = _Forms()
    parser.feed(page)
    return parser.forms


class Person:
    """Somebody with an account, in front of a browser."""

    def __init__(self, *, email: str, password: str) -> None:
        self._email = email
        self._password = password
        self._http = httpx.AsyncClient(trust_env=False, timeout=30)
        self.pages: list[str] = []

    async def allow(self, url: str, *, redirect_uri: str, button: str = "Allow") -> str:
        """Open a client's authorization URL, sign in, press `button`; return the URL that leads back to the client."""
        response = await self._http.get(url)
        for _ in range(10):
            if response.is_redirect:
                leads_to = urljoin(str(response.url), response.headers["location"])
                if leads_to.startswith(redirect_uri):
                    return leads_to
                assert urlsplit(leads_to).netloc == urlsplit(url).netloc, f"sent to a stranger: {leads_to}"
                response = await self._http.get(leads_to)
                continue
            assert response.status_code == 200, (response.status_code, response.text)
            self.pages.append(response.text)
            response = await self._submit(response, button)
        raise AssertionError("it went in circles")

    async def _submit(self, page: httpx.Response, button: str) -> httpx.Response:
        form = next(each for each in forms_of(page.text) if each.method == "post")
        filled = dict(form.fields)
        if "password" in filled:
            filled |= {"email": self._email, "password": self._password}
        else:
            name, value = form.buttons[button]
            filled[name] = value
        at = urljoin(str(page.url), form.action)
        origin = f"{page.url.scheme}://{page.url.netloc.decode()}"
        return await self._http.post(at, data=filled, headers={"Origin": origin, "Sec-Fetch-Site": "same-origin"})

    async def close(self) -> None:
        """Close the browser."""
        await self._http.aclose()
