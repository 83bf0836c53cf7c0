"""How much of each class is allowed, unless an organization's `limits` say otherwise."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from api.permissions import RateClass


@dataclass(frozen=True, slots=True)
class Limit:
    """`most` requests (events, where they are published) in `window_s` seconds."""

    most: int
    window_s: int


DEFAULTS: Final[Mapping[RateClass, Limit]] = {
    RateClass.READING: Limit(1000, 60),
    RateClass.MANAGING: Limit(100, 60),
    RateClass.TESTING: Limit(5, 60),
    RateClass.RETRYING: Limit(10, 60),
    RateClass.PUBLISHING: Limit(1000, 1),
    RateClass.OAUTH: Limit(30, 60),
    RateClass.SIGNING_IN: Limit(30, 60),
}


def limit_of(counts_as: RateClass, own: Mapping[str, int]) -> Limit:
    """Return the limit of a class for an organization whose own are `own`, by the class's name."""
    default = DEFAULTS[counts_as]
    return Limit(own.get(counts_as.value, default.most), default.window_s)
