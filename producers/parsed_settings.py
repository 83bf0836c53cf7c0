"""Settings that are read from text by a parser of ours: its complaint becomes the setting's."""

from collections.abc import Callable
from typing import Annotated

from pydantic import BeforeValidator
from pydantic_settings import NoDecode

from schemas.errors import InvalidInput
from schemas.urls import parse_ports
from schemas.waits import Schedule, parse_schedule


def _parsed_by(parse: Callable[[str], object]) -> BeforeValidator:
    def parsed(value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            return parse(value)
        except InvalidInput as error:
            raise ValueError(str(error)) from None

    return BeforeValidator(parsed)


Ports = Annotated[
    frozenset[int], NoDecode, _parsed_by(parse_ports)
]  # "443,8443"; the API and the workers read it alike
RetryWaits = Annotated[Schedule, NoDecode, _parsed_by(parse_schedule)]  # durations between commas
