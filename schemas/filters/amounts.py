"""Sums of products of sizes that are known only when an event comes: 3·bytes + 2·items·bytes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Final

_Product = tuple[str, ...]  # sizes by their names, in order; one that is there twice is squared
MOST_PRODUCTS: Final = 100
_ONE: Final[_Product] = ()


class TooInvolved(ValueError):
    """More products than anybody's filter has."""


@dataclass(frozen=True, slots=True)
class Amount:
    """Coefficients by what they are multiplied with; none negative."""

    terms: Mapping[_Product, float]

    def __add__(self, other: "Amount") -> "Amount":
        terms = dict(self.terms)
        for product, count in other.terms.items():
            terms[product] = terms.get(product, 0.0) + count
        return _checked(terms)

    def __mul__(self, other: "Amount") -> "Amount":
        terms: dict[_Product, float] = {}
        for one, count in self.terms.items():
            for another, times in other.terms.items():
                product = tuple(sorted(one + another))
                terms[product] = terms.get(product, 0.0) + count * times
        return _checked(terms)

    def __rmul__(self, factor: float) -> "Amount":
        return Amount({product: factor * count for product, count in self.terms.items()})

    @property
    def is_number(self) -> bool:
        """Whether it depends on no event."""
        return not any(self.terms)

    def with_sizes(self, sizes: Mapping[str, float]) -> float:
        """Return it for an event; a size that is not given counts as `sizes[""]`."""
        otherwise = sizes.get("", 0.0)
        return sum(
            count * prod(sizes.get(name, otherwise) for name in product) for product, count in self.terms.items()
        )

    def over(self, own: Mapping[str, "Amount"], turns: "Amount") -> "Amount":
        """Return the sum of this over a loop's turns.

        `own` are the sizes of its variable, with what they come to in all turns together: a product with one of them
        adds up to no more than the product with its sum (all are positive). What has none is there once a turn.
        """
        total = number(0)
        for product, count in self.terms.items():
            rest = Amount({tuple(name for name in product if name not in own): count})
            sums = [own[name] for name in product if name in own]
            total += rest * turns if not sums else _times(rest, sums)
        return total

    def __iter__(self) -> Iterator[tuple[_Product, float]]:
        return iter(self.terms.items())


def number(value: float) -> Amount:
    """Return an amount that depends on no event."""
    return Amount({_ONE: value})


def size(name: str) -> Amount:
    """Return one size."""
    return Amount({(name,): 1.0})


def _times(first: Amount, others: list[Amount]) -> Amount:
    for other in others:
        first = first * other
    return first


def _checked(terms: dict[_Product, float]) -> Amount:
    if len(terms) > MOST_PRODUCTS or any(len(product) > 8 for product in terms):
        raise TooInvolved
    return Amount(terms)
