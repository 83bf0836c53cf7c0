"""The partitions that a dispatcher has now, and their lanes: made when a record comes, forgotten when none is left."""

from collections.abc import Callable

from faust.types import TP

from processors.intake import Taken
from processors.lanes.gates import Gates
from processors.lanes.lane import Lane, LaneId, Share
from schemas.ids import OrganizationId, SubscriptionId
from schemas.records import Ordering, Subscription


class Roster:
    """Shares and lanes of one assignment."""

    def __init__(self, gates: Gates, settings_of: Callable[[SubscriptionId], Subscription | None]) -> None:
        self._gates = gates
        self._settings_of = settings_of
        self._shares: dict[TP, Share] = {}

    @property
    def shares(self) -> list[Share]:
        """Every partition."""
        return list(self._shares.values())

    @property
    def lanes(self) -> list[Lane]:
        """Every lane."""
        return [lane for share in self._shares.values() for lane in share.lanes.values()]

    def share_of(self, tp: TP) -> Share:
        """Return a partition's share."""
        share = self._shares.get(tp)
        if share is None:
            share = self._shares[tp] = Share(tp)
        return share

    def lane_of(self, share: Share, taken: Taken) -> Lane:
        """Return the lane of a record's subscription."""
        lane_id = (taken.key or b"", None)
        lane = share.lanes.get(lane_id)
        if lane is None:
            lane = self.new_lane(share, lane_id, None)
            lane.position = taken.position.offset
        return lane

    def parked_lane(self, lane: Lane, key: str) -> Lane:
        """Return a new lane for a key of a subscription's lane."""
        return self.new_lane(lane.share, (lane.id[0], key), lane.organization)

    def new_lane(self, share: Share, lane_id: LaneId, organization: OrganizationId | None) -> Lane:
        """Return a new lane; `organization` None is the subscription's, as far as it is known here."""
        subscription_id = SubscriptionId(lane_id[0].decode(errors="replace"))
        settings = self._settings_of(subscription_id)
        lane = Lane(
            id=lane_id,
            share=share,
            gate=self._gates.take(subscription_id),
            subscription_id=subscription_id,
            organization=organization or (OrganizationId("") if settings is None else settings.organization_id),
            ordering=ordering_of(settings),
        )
        share.lanes[lane_id] = lane
        return lane

    def forget(self, lane: Lane) -> None:
        """Forget a lane of which nothing is left."""
        lane.disarm()
        if lane.share.lanes.pop(lane.id, None) is not None:
            self._gates.let_go(lane.subscription_id)

    def clear(self) -> None:
        """Forget everything: the partitions are not ours any more."""
        for lane in self.lanes:
            self.forget(lane)
        for share in self._shares.values():
            share.dropped = True
        self._shares.clear()


def ordering_of(settings: Subscription | None) -> Ordering:
    """Return the order to keep: of one that is not known here yet, the strictest that it may have."""
    return Ordering.STRICT if settings is None else settings.ordering


def has_its_order(lane: Lane, settings: Subscription | None) -> bool:
    """Let a lane take the order that its settings ask for, once nothing of the old one is open; return False until."""
    wanted = ordering_of(settings)
    if lane.id[1] is not None or lane.ordering is wanted:
        return True
    if lane.is_busy:
        return False
    if lane.attempt == 1:  # else its head is done first
        lane.ordering = wanted
    return True
