"""What the fields of bodies are made with."""

from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from schemas.errors import InvalidInput

T = TypeVar("T")


def holds(check: Callable[[T], object]) -> AfterValidator:
    """Return a validator that keeps the value when `check` raises no InvalidInput; pydantic adds where it stands."""

    def validate(value: T) -> T:
        try:
            check(value)
        except InvalidInput as error:
            raise PydanticCustomError("invalid", "{detail}", {"detail": error.detail}) from None
        return value

    return AfterValidator(validate)


def without_default(schema: dict[str, Any]) -> None:
    """Take the default out of a field's JSON Schema: what is left out of a PATCH has none, it stays as it is."""
    schema.pop("default", None)
