"""The FastAPI application: its routes, and what they work with from start to end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Final

import structlog
from fastapi import FastAPI
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from api import health, openapi, problems
from api.access import Access
from api.applications import approvals
from api.applications import routes as applications
from api.asyncapi import routes as asyncapi
from api.audit import routes as audit
from api.callers import Callers
from api.credentials import DEVELOPMENT_SESSION_COOKIE, SESSION_COOKIE, CredentialKind
from api.database import engine_of, statements_of
from api.deliveries import routes as deliveries
from api.dry_runs import routes as dry_runs
from api.event_types import routes as event_types
from api.event_types import writing_routes as event_types_written
from api.event_types.knowing import KnownEventTypes
from api.events import reading as events_read
from api.events import routes as events
from api.events.posting import EventPosting
from api.events.publishing import EventPublishing
from api.idempotency.repeats import Repeats
from api.jobs import routes as jobs
from api.limits.taking import RateLimits
from api.members import invitation_routes as invitations
from api.members import routes as members
from api.metrics import Metrics
from api.oauth import consents, link_pages, pages, sign_in_pages, stylesheets
from api.oauth import routes as oauth
from api.oauth.looking_up import access_token_lookup
from api.oauth.signing import SigningKeys
from api.organizations import routes as organizations
from api.quarantine import routes as quarantine
from api.readiness import ReadyChecks
from api.replays import recovering, retrying
from api.replays import routes as replays
from api.roles import routes as roles
from api.services import Services
from api.sessions import me
from api.sessions import routes as sessions
from api.sessions.cookies import SessionCookies
from api.sessions.looking_up import caller_of_session
from api.settings import ApiSettings
from api.signed_links import SignedLinks
from api.stats import routes as stats
from api.subscriptions import actions, bulk, lag, testing
from api.subscriptions import routes as subscriptions
from api.subscriptions.outcomes import Outcomes
from api.subscriptions.tables import SubscriptionRow
from api.tokens import routes as tokens
from api.tokens.looking_up import caller_of_api_token
from api.tokens.uses import Uses
from api.users import link_routes
from api.users import routes as users
from producers.secret_settings import UnfitSettings
from producers.settings import KafkaSettings
from schemas.sealing import SECRET_PURPOSE, Sealer, SealingError

log = structlog.get_logger("api.app")

VERSION: Final = "1"


def create_app(settings: ApiSettings, kafka: KafkaSettings) -> FastAPI:
    """Return the application; it connects when its lifespan begins.

    Raises UnfitSettings when the master key or the administrator's token is missing or unfit. Its lifespan raises it
    too, when the master key is not the one that sealed what is in the database.
    """
    sealer, metrics = settings.sealer(), Metrics()
    uses = Uses()
    keys = SigningKeys(sealer, settings)
    callers = Callers(
        admin_token=settings.administrators_token(),
        admin_organization=settings.admin_organization,
        session_cookie=DEVELOPMENT_SESSION_COOKIE if settings.development else SESSION_COOKIE,
        lookups={
            CredentialKind.API_TOKEN: caller_of_api_token,
            CredentialKind.ACCESS_TOKEN: access_token_lookup(keys, settings),
            CredentialKind.SESSION: partial(caller_of_session, cookies=SessionCookies(sealer)),
        },
        uses=uses,
    )
    limits = RateLimits(settings.redis_url, away=metrics.limits_without_redis)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        engine = engine_of(settings)
        await _check_master_key(engine, sealer)
        async with statements_of(settings) as statements:
            publishing = EventPublishing(kafka, metrics, most_waiting=settings.most_waiting_events)
            app.state.engine = engine
            app.state.repeats = Repeats(engine, sealer)
            app.state.services = Services(
                settings=settings,
                kafka=kafka,
                sealer=sealer,
                engine=engine,
                publishing=publishing,
                posting=EventPosting(statements, publishing, metrics),
                metrics=metrics,
                ready=ReadyChecks(engine, kafka),
                outcomes=Outcomes(settings.database_url),
                links=SignedLinks(sealer, public_url=settings.public_url),
                callers=callers,
                limits=limits,
                keys=keys,
                event_types=(event_types_known := KnownEventTypes(settings.database_url)),
            )
            following = asyncio.create_task(event_types_known.run())
            listening = asyncio.create_task(app.state.services.outcomes.run())
            counting = asyncio.create_task(uses.run(engine))
            # Own types are known with the first request, unless PostgreSQL is away.
            await event_types_known.tried.wait()
            try:
                yield
            finally:
                for task in (listening, following):
                    task.cancel()
                    with suppress(asyncio.CancelledError):
                        await task
                uses.stop()
                await counting
                await limits.close()
                publishing.close()
                await engine.dispose()

    app = FastAPI(
        title="Hookline",
        version=VERSION,
        description="Domain events on Kafka become signed webhooks that arrive.",
        lifespan=lifespan,
        redirect_slashes=False,
        docs_url=None,  # its scripts come from another host
        redoc_url=None,
    )
    app.state.callers = callers
    app.state.limits = limits
    app.state.largest_body_bytes = settings.largest_event_bytes
    app.state.largest_batch_bytes = settings.largest_batch_bytes
    app.add_middleware(Access, metrics=metrics)
    problems.add_handlers(app)
    for router in (
        # First what is asked most: each router before it is asked first, which took a fifth of a token's time.
        *(events.router, events.batches, events.streams, oauth.router),
        *(subscriptions.router, bulk.router, actions.router, testing.router, lag.router, dry_runs.router),
        *(event_types.router, event_types_written.router, asyncapi.router),
        *(events_read.router, deliveries.router, stats.router),
        *(replays.router, retrying.router, recovering.router, jobs.router, quarantine.router, health.router),
        *(organizations.router, invitations.router, invitations.invited, members.router, roles.router),
        *(users.router, link_routes.verifying, link_routes.resets, me.router, sessions.router, tokens.router),
        *(applications.router, approvals.router, audit.router, pages.router),
        *(stylesheets.router, sign_in_pages.router, link_pages.router, consents.router),
    ):
        app.router.routes.extend(router.routes)  # as they are: include_router() builds each anew at the first request
    openapi.describe(app)
    return app


async def _check_master_key(engine: AsyncEngine, sealer: Sealer) -> None:
    """Refuse to start with a master key that does not open what is there; a database that is away is no reason to."""
    newest = (
        select(SubscriptionRow.id, SubscriptionRow.organization_id, SubscriptionRow.secrets)
        .order_by(SubscriptionRow.id.desc())
        .limit(1)
    )
    try:
        async with engine.connect() as connection:
            found = (await connection.execute(newest)).one_or_none()
    except (OSError, SQLAlchemyError) as error:  # away, or not upgraded yet: /readyz says so
        log.warning("api.master_key_not_checked", error=type(error).__name__)
        return
    if found is None:
        return
    try:
        sealer.open(found.secrets[0], organization=found.organization_id, row=found.id, purpose=SECRET_PURPOSE)
    except SealingError as error:
        await engine.dispose()
        raise UnfitSettings(f"HOOKLINE_MASTER_KEYS does not open what is in the database: {error}") from None
