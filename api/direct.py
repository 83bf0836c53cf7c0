"""Routes that FastAPI finds and describes, and whose functions we call ourselves.

Between a request and its function FastAPI solves dependencies, checks the body against models, checks the answer
against models and writes it: a third of what an event costs (docs/performance.md). Here the function gets the request
and its caller, and answers a Response; its types still say who may call it.
"""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, ClassVar

from fastapi import Request, Response

from api.requests import JsonRoute


class DirectRoute(JsonRoute):
    """A route whose function is called as `function(request, caller)`; `request.json()` is its body, read and checked.

    `elsewhere` says of media types that are JSON, and that this route does not take, where they belong.
    """

    takes_body: ClassVar = True

    def handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what calls the function."""
        function = self.endpoint

        async def call(request: Request) -> Response:
            response: Response = await function(request, request.state.caller)
            return response

        return call


def taken_as(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what OpenAPI says of a body of these media types, for a route's `openapi_extra`."""
    return {"requestBody": {"required": True, "content": dict(content)}}
