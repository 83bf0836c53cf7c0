"""What routes work with, made once at the start and named in one place."""

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncEngine

from api.callers import Callers
from api.event_types.knowing import KnownEventTypes
from api.events.posting import EventPosting
from api.events.publishing import EventPublishing
from api.limits.taking import RateLimits
from api.metrics import Metrics
from api.oauth.signing import SigningKeys
from api.readiness import ReadyChecks
from api.settings import ApiSettings
from api.signed_links import SignedLinks
from api.subscriptions.outcomes import Outcomes
from producers.settings import KafkaSettings
from schemas.catalogue import Catalogue
from schemas.sealing import Sealer


@dataclass(frozen=True, slots=True)
class Services:
    """The parts behind the routes."""

    settings: ApiSettings
    kafka: KafkaSettings
    sealer: Sealer
    engine: AsyncEngine
    publishing: EventPublishing
    posting: EventPosting
    metrics: Metrics
    ready: ReadyChecks
    outcomes: Outcomes
    links: SignedLinks
    callers: Callers
    limits: RateLimits
    keys: SigningKeys
    event_types: KnownEventTypes

    @property
    def catalogue(self) -> Catalogue:
        """Return the built-in event types and those of organizations, as they are now (within 2 seconds)."""
        return self.event_types.catalogue


async def _services(request: Request) -> Services:
    return cast(Services, request.app.state.services)


AllServices = Annotated[Services, Depends(_services)]
