"""The JSON of an organization's rate limits: those of its own, and the defaults of the rest (`api/limits/`)."""

from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from api.limits.defaults import limit_of
from api.permissions import RateClass
from api.requests import JsonBody

MOST: Final = 1_000_000  # in a window: more is no limit

Most = Annotated[int, Field(ge=1, le=MOST)]


class LimitsBody(JsonBody):
    """How many requests of a class an organization may make; all are replaced, what is left out gets its default.

    OAuth's endpoints and signing in count by client and address: whose organization it is, nobody knows yet.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"reading": 5000, "publishing": 2000}]})

    reading: Most | None = Field(default=None, description="In a minute.")
    managing: Most | None = Field(default=None, description="In a minute.")
    testing: Most | None = Field(default=None, description="Test events in a minute.")
    retrying: Most | None = Field(default=None, description="In a minute.")
    publishing: Most | None = Field(default=None, description="Events in a second.")

    def given(self) -> dict[str, int]:
        """Return those that are not the default, by class."""
        return {name: value for name, value in self.model_dump().items() if value is not None}


class ShownLimit(BaseModel):
    """The limit of one class."""

    most: int = Field(description="Requests (events, where they are published) in the window.")
    window_s: int
    is_default: bool = Field(description="Not this organization's own.")


class ShownLimits(BaseModel):
    """The limits that hold for an organization, by class."""

    reading: ShownLimit
    managing: ShownLimit
    testing: ShownLimit
    retrying: ShownLimit
    publishing: ShownLimit


def shown(own: Mapping[str, int]) -> ShownLimits:
    """Return what holds for an organization whose own limits are these."""
    held = {RateClass(name): limit_of(RateClass(name), own) for name in ShownLimits.model_fields}
    return ShownLimits.model_validate(
        {
            each.value: ShownLimit(most=limit.most, window_s=limit.window_s, is_default=each.value not in own)
            for each, limit in held.items()
        }
    )
