"""Whose turn it is: organizations one after the other, and within each its lanes. So a burst of one delays no other."""

from collections import OrderedDict, deque
from typing import Generic, Protocol, TypeVar


class Taker(Protocol):
    """What takes turns; `in_turn` is ours: whether it stands in a queue."""

    in_turn: bool

    @property
    def organization(self) -> str:
        """Whose it is."""


T = TypeVar("T", bound=Taker)


class Turns(Generic[T]):
    """Takers in two-level round robin. Each stands here once; every call is O(1)."""

    __slots__ = ("_of_organization",)

    def __init__(self) -> None:
        self._of_organization: OrderedDict[str, deque[T]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._of_organization)

    def add(self, taker: T) -> None:
        """Let a taker stand at the end of its organization's queue, unless it stands in one."""
        if taker.in_turn:
            return
        taker.in_turn = True
        queue = self._of_organization.get(taker.organization)
        if queue is None:
            queue = self._of_organization[taker.organization] = deque()
        queue.append(taker)

    def next(self) -> T:
        """Take out whose turn it is; raises KeyError when nobody stands here."""
        organization, queue = self._of_organization.popitem(last=False)
        taker = queue.popleft()
        if queue:
            self._of_organization[organization] = queue  # at the end: all others come first
        taker.in_turn = False
        return taker

    def clear(self) -> None:
        """Send everybody away."""
        for queue in self._of_organization.values():
            for taker in queue:
                taker.in_turn = False
        self._of_organization.clear()
