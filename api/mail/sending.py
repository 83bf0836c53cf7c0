"""The sender of e-mails, in the projector's process: takes what is due from `mails`, one after the other.

It claims an e-mail in a transaction of its own, which sets its next attempt, and sends it afterwards. Nobody waits on a
mail server inside a transaction, no two senders send the same one, and a process that is killed between the server's
yes and the mark sends one e-mail a second time, a minute later, under the same Message-ID.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.headerregistry import Address
from typing import Final

import structlog
from jinja2 import TemplateError
from sqlalchemy.ext.asyncio import AsyncEngine

from api.database import DatabaseAway, engine_of, transaction_of
from api.mail.carrying import Carrier, Folder, Letter, Trouble
from api.mail.composing import UnfitAddress, address_of, composed, sender_of
from api.mail.metrics import MAILS
from api.mail.queries import Claimed, brand_to_show, due_mail, end_of_link, finished, put_off
from api.mail.queueing import Template
from api.mail.rendering import Link, rendered
from api.mail.smtp import SmtpServer, server_of
from api.settings import ApiSettings
from api.signed_links import LinkPurpose, SignedLinks
from producers.secret_settings import UnfitSettings, given_secret

log = structlog.get_logger("api.mail")

_MINUTE: Final = timedelta(minutes=1)
WAITS: Final = (_MINUTE, 5 * _MINUTE, 15 * _MINUTE, 60 * _MINUTE, 360 * _MINUTE)  # between attempts
_LOOK_EVERY_S: Final = 1.0
_PAUSE_S: Final = 10.0  # when the server, or PostgreSQL, is in trouble
_LINK_IS_OVER: Final = Trouble("its link cannot be used any more", for_good=True)


def now() -> datetime:
    """Return the time of the clock."""
    return datetime.now(UTC)


class MailSender:
    """Sends e-mails until it is cancelled; whatever is away, it goes on by itself when it is back."""

    def __init__(
        self, settings: ApiSettings, *, carrier: Carrier | None = None, clock: Callable[[], datetime] = now
    ) -> None:
        """Prepare; nothing is connected before `run`. Raises UnfitSettings."""
        self._settings = settings.model_copy(update={"database_connections": 1})
        self._links = SignedLinks(settings.sealer(), public_url=settings.public_url)
        self._from = _sender_of(settings)
        self._carrier = carrier or carrier_of(settings)
        self._clock = clock

    async def run(self) -> None:
        """Send what is due, and look again every second."""
        engine, waits_for = engine_of(self._settings), ""
        try:
            while True:
                try:
                    goes_well, error_kind = await self.send_due(engine), ""
                except Exception as error:  # it is logged once, and e-mail ends no projection
                    goes_well, error_kind = False, type(error).__name__
                    if error_kind != waits_for:
                        log.warning("mails.waiting", error=error_kind, exc_info=not isinstance(error, DatabaseAway))
                waits_for = error_kind
                await asyncio.sleep(_LOOK_EVERY_S if goes_well else _PAUSE_S)
        finally:
            await engine.dispose()

    async def send_due(self, engine: AsyncEngine) -> bool:
        """Send one e-mail after the other while there are any; return False when the rest would meet the same trouble.

        Raises DatabaseAway.
        """
        while (claimed := await self._claim(engine)) is not None:
            trouble = await self._send(claimed)
            await self._settle(engine, claimed, trouble)
            if trouble is not None and trouble.with_all:
                return False
        return True

    async def _claim(self, engine: AsyncEngine) -> Claimed | None:
        """Take an e-mail: until its next attempt is due, no other sender finds it."""
        async with transaction_of(engine) as db:
            at = self._clock()
            mail = await due_mail(db, at)
            if mail is None:
                return None
            mail.attempts += 1
            mail.next_attempt_at = at + WAITS[min(mail.attempts, len(WAITS)) - 1]
            # Nothing here may fail for what stands in one e-mail: the others would wait behind it.
            ends_at = None
            if mail.link_purpose is not None and mail.link_id is not None:
                ends_at = await end_of_link(db, mail.link_purpose, mail.link_id, at)
            return Claimed(mail, await brand_to_show(db, mail.organization_id), ends_at)

    async def _send(self, claimed: Claimed) -> Trouble | None:
        if claimed.mail.link_purpose is not None and claimed.link_ends_at is None:
            return _LINK_IS_OVER
        try:
            letter = self._letter(claimed)
        except UnfitAddress:
            return Trouble("the recipient is not an e-mail address that we can write to", for_good=True)
        except TemplateError as error:  # a parameter that is missing: its name is said, no value
            return Trouble(f"it cannot be written ({error})", for_good=True)
        except ValueError as error:  # a template that is not there, a header that is none
            return Trouble(f"it cannot be written ({type(error).__name__})", for_good=True)
        return await self._carrier.carry(letter)

    def _letter(self, claimed: Claimed) -> Letter:
        mail = claimed.mail
        recipient = address_of(mail.recipient)
        words = rendered(Template(mail.template), mail.parameters, brand=claimed.brand, link=self._link(claimed))
        return Letter(
            mail_id=mail.id,
            template=mail.template,
            created_at=mail.created_at,
            sender=self._from.addr_spec,
            recipient=recipient.addr_spec,
            message=composed(mail.id, words, sender=self._from, recipient=recipient, created_at=mail.created_at),
        )

    def _link(self, claimed: Claimed) -> Link | None:
        mail = claimed.mail
        if mail.link_purpose is None or mail.link_id is None or claimed.link_ends_at is None:
            return None
        return Link(self._links.url_of(LinkPurpose(mail.link_purpose), mail.link_id), claimed.link_ends_at)

    async def _settle(self, engine: AsyncEngine, claimed: Claimed, trouble: Trouble | None) -> None:
        mail, at = claimed.mail, self._clock()
        about = {"mail_id": mail.id, "organization_id": mail.organization_id, "template": mail.template}
        again_at = None if trouble is None or trouble.for_good else next_attempt_at(at, failures=mail.attempts)
        async with transaction_of(engine) as db:
            if trouble is None:
                await finished(db, mail, state="sent", error=None, now=at)
            elif again_at is None:
                await finished(db, mail, state="failed", error=trouble.error, now=at)
            else:
                await put_off(db, mail, until=again_at, error=trouble.error)
        outcome = "sent" if trouble is None else "failed" if again_at is None else "put_off"
        MAILS.labels(template=mail.template, outcome=outcome).inc()
        if trouble is None:
            log.info("mail.sent", **about, attempts=mail.attempts)
        else:
            said = {"outcome": outcome, "attempts": mail.attempts, "error": trouble.error}
            log.warning("mail.not_sent", **about, **said)


def next_attempt_at(failed_at: datetime, *, failures: int) -> datetime | None:
    """Return when to try again after `failures` >= 1 failures, or None to give up."""
    return failed_at + WAITS[failures - 1] if failures <= len(WAITS) else None


def carrier_of(settings: ApiSettings) -> Carrier:
    """Return what takes e-mails away by the settings; raises UnfitSettings."""
    is_blank = settings.smtp_url is None or not settings.smtp_url.get_secret_value().strip()
    if is_blank and settings.smtp_url_file is None:
        return Folder(settings.mail_folder)
    return SmtpServer(server_of(given_secret(settings.smtp_url, settings.smtp_url_file, name="HOOKLINE_SMTP_URL")))


def _sender_of(settings: ApiSettings) -> Address:
    try:
        return sender_of(settings.mail_from)
    except UnfitAddress as error:
        raise UnfitSettings("HOOKLINE_MAIL_FROM must be an address, or a name and an <address>") from error
