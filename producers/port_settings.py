"""Ports as a setting, which the API and the workers must read alike: "443,8443"."""

from typing import Annotated

from pydantic import BeforeValidator
from pydantic_settings import NoDecode

from schemas.errors import InvalidInput
from schemas.urls import parse_ports


def _ports(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return parse_ports(value)
    except InvalidInput as error:
        raise ValueError(str(error)) from None


Ports = Annotated[frozenset[int], NoDecode, BeforeValidator(_ports)]
