"""Places for open requests: so many live ones and so many behind, whatever a lane was when it took its turn."""

from faust.types import TP

from processors.intake import Taken
from processors.lanes.breaker import BreakerSettings
from processors.lanes.gate import Gate
from processors.lanes.lane import Lane, Running, Share
from processors.lanes.pools import Pools
from schemas.ids import OrganizationId, SubscriptionId
from schemas.records import Ordering, Position

SHARE = Share(TP("deliver", 0))


def lane(name: str, *, is_behind: bool = False) -> Lane:
    return Lane(
        id=(name.encode(), None),
        share=SHARE,
        gate=Gate(BreakerSettings()),
        subscription_id=SubscriptionId(name),
        organization=OrganizationId(name),
        ordering=Ordering.NONE,
        is_behind=is_behind,
    )


def running(of: Lane) -> Running:
    taken = Taken(
        position=Position(topic="deliver", partition=0, offset=0), key=None, value=b"", headers=[], timestamp_s=0
    )
    return Running(of, taken, 0.0, is_live=not of.is_cursors)


def test_who_went_behind_in_the_line_takes_a_place_of_those_behind() -> None:
    pools = Pools(live=4, behind=1)
    pools.begin(running(lane("a", is_behind=True)))
    changed, live = lane("b"), lane("c")
    pools.offer(changed)
    pools.offer(live)
    changed.is_behind = True
    assert pools.next() is live
    assert pools.next() is None


def test_who_came_back_in_the_line_takes_a_live_place() -> None:
    pools = Pools(live=1, behind=4)
    pools.begin(running(lane("a")))
    changed, behind = lane("b", is_behind=True), lane("c", is_behind=True)
    pools.offer(changed)
    pools.offer(behind)
    changed.is_behind = False
    assert pools.next() is behind
    assert pools.next() is None
