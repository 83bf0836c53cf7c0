"""What the tests of e-mail share: an organization, e-mails in its outbox, a real SMTP server on loopback, a sender."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from typing import Any
from uuid import uuid4

import asyncpg
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from api.database import engine_of, transaction_of
from api.mail.queueing import Template, queue_mail
from api.mail.sending import MailSender
from api.signed_links import LinkPurpose
from tests.api.conftest import settings_of

USER, PASSWORD = "mailer", "a pass:word/with@signs"
ORGANIZATION = "org_mail"
PURPOSES = {
    Template.INVITATION: LinkPurpose.INVITATION,
    Template.VERIFICATION: LinkPurpose.VERIFICATION,
    Template.RESET: LinkPurpose.RESET,
}


@dataclass
class Clock:
    """A clock that a test turns."""

    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __call__(self) -> datetime:
        return self.at

    def turn(self, **by: float) -> None:
        self.at += timedelta(**by)


class PostOffice:
    """A database with an organization, and e-mails to send."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine: AsyncEngine = engine_of(settings_of(url))
        self.clock = Clock()

    def sender(self, smtp: "Server | None" = None, **settings: object) -> MailSender:
        """Return a sender, to a server, or to the folder that the settings name."""
        if smtp is not None:
            settings = {"smtp_url": SecretStr(smtp.url), **settings}
        return MailSender(
            settings_of(self.url, mail_from="Hookline <no-reply@hooks.example>", **settings), clock=self.clock
        )

    async def send(self, sender: MailSender) -> bool:
        return await sender.send_due(self.engine)

    async def rows(self, statement: str, *values: object) -> list[Any]:
        connection = await asyncpg.connect(self.url)
        try:
            return await connection.fetch(statement, *values)
        finally:
            await connection.close()

    async def mail(self) -> Any:
        """Return the one row of `mails`."""
        (row,) = await self.rows("SELECT * FROM mails")
        return row

    async def made(self, **brand: object) -> None:
        names = "".join(f", {name}" for name in brand)
        places = "".join(f", ${number}" for number in range(2, len(brand) + 2))
        await self.rows(
            "INSERT INTO organizations (id, version, name, created_at, updated_at" + names + ")"
            " VALUES ($1, 1, 'Acme', now(), now()" + places + ")",
            ORGANIZATION,
            *brand.values(),
        )

    async def queue(
        self, template: Template = Template.RESET, *, to: str = "ann@example.com", **parameters: Any
    ) -> None:
        """Queue an e-mail, with a link that can be used when its template shows one."""
        purpose = PURPOSES.get(template)
        link = None if purpose is None else (purpose, await self.link(purpose))
        async with transaction_of(self.engine) as db:
            await queue_mail(db, template, organization_id=ORGANIZATION, recipient=to, parameters=parameters, link=link)
        self.clock.at = datetime.now(UTC)

    async def link(self, purpose: LinkPurpose) -> str:
        """Add what a link stands for; return its id."""
        identifier = f"lnk_{uuid4().hex}"
        if purpose is LinkPurpose.INVITATION:
            await self.rows(
                "INSERT INTO invitations (id, organization_id, email, role_id, invited_by, created_at, expires_at)"
                " VALUES ($1, $2, 'ann@example.com', 'viewer', 'usr_1', now(), now() + interval '7 days')",
                identifier,
                ORGANIZATION,
            )
            return identifier
        user = await self.user()
        await self.rows(
            "INSERT INTO user_links (id, user_id, purpose, email, created_at, expires_at)"
            " VALUES ($1, $2, $3, 'ann@example.com', now(), now() + interval '1 day')",
            identifier,
            user,
            purpose,
        )
        return identifier

    async def user(self, *, role: str | None = None, email: str | None = None, locked: bool = False) -> str:
        """Add a user, and a membership when a role is named; return the id."""
        user = f"usr_{uuid4().hex}"
        email = email or f"{user}@example.com"
        await self.rows(
            "INSERT INTO users (id, organization_id, version, email, email_key, name, must_reset, created_at,"
            " updated_at, locked_at) VALUES ($1, $2, 1, $3, $3, 'Ann', false, now(), now(), $4)",
            user,
            ORGANIZATION,
            email,
            datetime.now(UTC) if locked else None,
        )
        if role is not None:
            await self.rows(
                "INSERT INTO memberships (organization_id, user_id, role_id, created_at, updated_at)"
                " VALUES ($1, $2, $3, now(), now())",
                ORGANIZATION,
                user,
                role,
            )
        return user


@dataclass
class Server:
    """A real SMTP server, and what it got. `answers`: what it says to a command; None: nothing, ever."""

    tls: ssl.SSLContext | None = None
    answers: dict[str, str | None] = field(default_factory=dict)
    got: list[EmailMessage] = field(default_factory=list)
    envelopes: list[Envelope] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)
    url: str = ""
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, _: SMTP, __: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return await self._says("MAIL")

    async def handle_RCPT(  # noqa: N802
        self, _: SMTP, __: Session, envelope: Envelope, address: str, ___: list[str]
    ) -> str:
        envelope.rcpt_tos.append(address)
        return await self._says("RCPT")

    async def handle_DATA(self, _: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.original_content, bytes)
        self.got.append(BytesParser(EmailMessage, policy=default).parsebytes(envelope.original_content))
        self.envelopes.append(envelope)
        self.sessions.append(session)
        return await self._says("DATA")

    async def handle_QUIT(self, _: SMTP, __: Session, ___: Envelope) -> str:  # noqa: N802
        return await self._says("QUIT", "221 bye")

    async def _says(self, command: str, otherwise: str = "250 fine") -> str:
        answer = self.answers.get(command, otherwise)
        if answer is None:
            await self.over.wait()
        return answer or "421 too late"

    def knows(self, _: SMTP, __: Session, ___: Envelope, mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword), mechanism
        is_known = (data.login.decode(), data.password.decode()) == (USER, PASSWORD)
        return AuthResult(success=is_known, handled=False)


@asynccontextmanager
async def serving(
    server: Server, *, implicit_tls: bool = False, starttls: bool = False, login: bool = False
) -> AsyncIterator[Server]:
    """Run the server in this loop, on a port of its own; its URL speaks to it without TLS unless it has it."""
    options: dict[str, Any] = {"hostname": "localhost", "auth_exclude_mechanism": ["LOGIN"]}
    if starttls:
        options |= {"tls_context": server.tls, "require_starttls": True}
    if login:
        # aiosmtpd knows of TLS only when it began with STARTTLS
        options |= {"authenticator": server.knows, "auth_required": starttls, "auth_require_tls": starttls}
    listening = await asyncio.get_running_loop().create_server(
        lambda: SMTP(server, loop=asyncio.get_running_loop(), **options),
        "127.0.0.1",
        0,
        ssl=server.tls if implicit_tls else None,
    )
    port = listening.sockets[0].getsockname()[1]
    scheme, query = ("smtps", "") if implicit_tls else ("smtp", "" if starttls else "?starttls=no")
    server.url = f"{scheme}://localhost:{port}{query}"
    try:
        yield server
    finally:
        server.over.set()
        listening.close()
        await listening.wait_closed()
