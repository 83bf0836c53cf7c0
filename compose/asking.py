"""The API as the commands ask it: over HTTP, with the administrator's token, one organization at a time."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Final, Self

import httpx

from compose.refusals import ApiAway, refusal_of
from compose.settings import ApiAddress
from schemas.errors import InvalidInput

Body = dict[str, Any]
Params = Mapping[str, Any]

LARGEST_PAGE: Final = 100  # api/lists.py
_ANSWER_WITHIN_S: Final = 75.0  # a test send answers after the subscription's timeout, 60 s at most, and 5 s
_CONNECT_WITHIN_S: Final = 5.0


class Api:
    """Asks the API; what it refuses is a Refused, where nobody answers an ApiAway."""

    def __init__(self, address: ApiAddress, *, organization: str | None = None) -> None:
        headers = {"Authorization": f"Bearer {address.token}", "User-Agent": "hookline-command"}
        if organization is not None:
            headers["Hookline-Organization"] = organization
        self.url = address.url
        self._date = ""
        self._http = httpx.Client(
            base_url=f"{address.url}/api/v1",
            headers=headers,
            timeout=httpx.Timeout(_ANSWER_WITHIN_S, connect=_CONNECT_WITHIN_S),
            trust_env=False,  # the token goes to the API and to no proxy
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def now(self) -> datetime:
        """Return the time of the API's clock when it last answered, to the second; before that, of ours."""
        return parsedate_to_datetime(self._date) if self._date else datetime.now(UTC)

    def get(self, path: str, **params: Any) -> Body:
        """Return what GET answers; parameters that are None are left out."""
        return self.ask("GET", path, params=params)

    def post(self, path: str, body: Params | None = None) -> Body:
        """Return what POST answers; fields of the body that are None are left out."""
        given = None if body is None else {name: value for name, value in body.items() if value is not None}
        return self.ask("POST", path, body=given)

    def ask(self, method: str, path: str, *, params: Params | None = None, body: Params | None = None) -> Body:
        """Return the JSON of a 2xx answer, {} when it has none; raises ApiAway, Refused, InvalidInput."""
        given = {name: value for name, value in (params or {}).items() if value is not None}
        try:
            request = self._http.build_request(method, path, params=given, json=body)
        except ValueError:  # also UnicodeEncodeError
            raise InvalidInput("nan, inf and lone surrogates are no JSON: nothing was asked") from None
        try:
            answer = self._http.send(request)
        except httpx.TimeoutException:
            raise ApiAway(f"the API at {self.url} did not answer in time: look at its log, or try again") from None
        except httpx.HTTPError as error:
            raise ApiAway(
                f"the API at {self.url} does not answer ({type(error).__name__}):"
                " start `hookline up` or `hookline api`, or set HOOKLINE_API_URL"
            ) from None
        self._date = answer.headers.get("date", self._date)
        if not answer.is_success:
            raise refusal_of(answer.status_code, _json_of(answer), url=f"{self.url}{answer.request.url.path}")
        found = _json_of(answer) if answer.content else {}
        if not isinstance(found, dict):
            raise refusal_of(answer.status_code, None, url=f"{self.url}{answer.request.url.path}")
        return found

    def pages(self, path: str, params: Params, *, page: int = LARGEST_PAGE) -> Iterator[Sequence[Body]]:
        """Yield a list's pages, of `page` rows each, to its end."""
        cursor = None
        while True:
            answer = self.get(path, **params, limit=page, cursor=cursor)
            yield answer["data"]
            cursor = answer["next_cursor"]
            if not answer["has_more"]:
                return

    def rows(self, path: str, params: Params, *, limit: int | None) -> Iterator[Body]:
        """Yield up to `limit` rows of a list, all of them for None, asking for no more pages than that takes."""
        left = limit
        for rows in self.pages(path, params, page=min(LARGEST_PAGE, limit or LARGEST_PAGE)):
            for row in rows:
                yield row
                left = None if left is None else left - 1
                if left == 0:
                    return


def _json_of(answer: httpx.Response) -> object:
    """Return the answer's JSON; None when it is none. Not orjson: whole numbers beyond 64 bits stay as they are."""
    try:
        return json.loads(answer.content)
    except ValueError:
        return None
