"""Every table of the API, imported here so that `Base.metadata` knows them all, whoever asks."""

from api.database import Base
from api.deliveries import tables as _deliveries
from api.events import tables as _events
from api.idempotency import tables as _idempotency
from api.projection import tables as _projection
from api.quarantine import tables as _quarantine
from api.replays import tables as _replays
from api.stats import tables as _stats
from api.subscriptions import tables as _subscriptions

__all__ = ["metadata"]

metadata = Base.metadata
_ALL = (_deliveries, _events, _idempotency, _projection, _quarantine, _replays, _stats, _subscriptions)
