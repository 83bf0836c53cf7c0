"""`GET /asyncapi.yaml`: open to anybody, as `/openapi.json` is."""

import asyncio
from functools import cache
from typing import Final

from fastapi import APIRouter, Response

from api.asyncapi.document import as_yaml, asyncapi_document

VERSION: Final = "1"  # of the description, as OpenAPI's
MEDIA_TYPE: Final = "application/yaml"  # RFC 9512

router = APIRouter(include_in_schema=False)


@cache
def description() -> str:
    """Return the AsyncAPI document as YAML; the same on every machine, whatever its settings are."""
    return as_yaml(asyncapi_document(VERSION))


@router.get("/asyncapi.yaml")
async def read_asyncapi() -> Response:
    """Return what is read from Kafka and sent to receivers, by event type."""
    text = await asyncio.to_thread(description)  # the first time it takes a moment
    return Response(text, media_type=MEDIA_TYPE)
