"""The retry schedule among the settings: durations between commas."""

from typing import Annotated

from pydantic import BeforeValidator
from pydantic_settings import NoDecode

from schemas.errors import InvalidInput
from schemas.waits import Schedule, parse_schedule


def _schedule(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return parse_schedule(value)
    except InvalidInput as error:
        raise ValueError(str(error)) from None


RetryWaits = Annotated[Schedule, NoDecode, BeforeValidator(_schedule)]
