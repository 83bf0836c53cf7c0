"""Who may have a request open: so many live ones and, beside them, so many to endpoints that are behind."""

from collections import deque
from collections.abc import Iterator

from processors.lanes.lane import Lane, Running
from processors.lanes.turns import Turns


class Pools:
    """Places for open requests, and the lanes that wait for one, in turn. Live ones come first."""

    def __init__(self, *, live: int, behind: int) -> None:
        self._most_live = live
        self._most_behind = behind
        self._live = 0
        self._behind = 0
        self._live_turns: Turns[Lane] = Turns()
        self._behind_turns: Turns[Lane] = Turns()
        self._young: deque[Running] = deque()  # live ones, oldest first

    def offer(self, lane: Lane) -> None:
        """Let a lane stand in line for a place."""
        (self._behind_turns if lane.is_cursors else self._live_turns).add(lane)

    def next(self) -> Lane | None:
        """Take out the lane whose turn it is, if there is a place for it."""
        while True:
            if self._live_turns and self._live < self._most_live:
                lane = self._live_turns.next()
                if not lane.is_cursors:
                    return lane
            elif self._behind_turns and self._behind < self._most_behind:
                lane = self._behind_turns.next()
                if lane.is_cursors:
                    return lane
            else:
                return None
            self.offer(lane)  # it has changed sides while it stood there: its place is one of the other kind

    def begin(self, running: Running) -> None:
        """Take a place."""
        if running.is_live:
            self._live += 1
            self._young.append(running)
        else:
            self._behind += 1

    def end(self, running: Running) -> None:
        """Give the place back."""
        running.is_done = True
        if running.is_live:
            self._live -= 1
        else:
            self._behind -= 1

    def give_back_live(self, lane: Lane) -> None:
        """Move what a lane has open out of the live places."""
        for running in lane.running.values():
            if running.is_live and not running.is_done:
                running.is_live = False
                self._live -= 1
                self._behind += 1

    def older_than(self, began_at: float) -> Iterator[Running]:
        """Return the live ones that began at `began_at` or earlier and are open still; each once."""
        young = self._young
        while young and (young[0].is_done or young[0].began_at <= began_at):
            running = young.popleft()
            if running.is_live and not running.is_done:
                yield running

    def clear(self) -> None:
        """Send away all who wait; what is open keeps its place until it ends."""
        self._live_turns.clear()
        self._behind_turns.clear()
