"""The OpenAPI 3.1 description: FastAPI's, with the problem document and the webhooks that receivers get.

`docs/openapi.json` is a copy of it (`make openapi`); a test fails when they differ.
"""

from typing import Any

from fastapi import FastAPI

from api import problems
from api.idempotency.describing import describe_key
from api.webhooks import PARAMETERS, webhooks


def describe(app: FastAPI) -> None:
    """Let the app's description hold what FastAPI cannot read from routes."""
    described = app.openapi

    def openapi() -> dict[str, Any]:
        document = described()  # FastAPI makes it once and keeps it
        components = document.setdefault("components", {})
        components.setdefault("schemas", {})["Problem"] = problems.SCHEMA
        components["parameters"] = PARAMETERS
        describe_key(document)
        document["webhooks"] = webhooks()
        return document

    app.openapi = openapi  # type: ignore[method-assign] # FastAPI's documented way to extend it
