"""Every table of the API, imported here so that `Base.metadata` knows them all, whoever asks."""

from api.applications import tables as _applications
from api.audit import tables as _audit
from api.database import Base
from api.deliveries import tables as _deliveries
from api.event_types import tables as _event_types
from api.events import tables as _events
from api.idempotency import tables as _idempotency
from api.mail import tables as _mail
from api.members import tables as _members
from api.oauth import tables as _oauth
from api.organizations import tables as _organizations
from api.projection import tables as _projection
from api.quarantine import tables as _quarantine
from api.replays import tables as _replays
from api.roles import tables as _roles
from api.sessions import tables as _sessions
from api.stats import tables as _stats
from api.subscriptions import tables as _subscriptions
from api.tokens import tables as _tokens
from api.users import tables as _users

__all__ = ["metadata"]

metadata = Base.metadata
_ALL = (
    _applications,
    _audit,
    _deliveries,
    _event_types,
    _events,
    _idempotency,
    _mail,
    _members,
    _oauth,
    _organizations,
    _projection,
    _quarantine,
    _replays,
    _roles,
    _sessions,
    _stats,
    _subscriptions,
    _tokens,
    _users,
)
