"""Sending through the operator's server (RFC 5321), always over TLS unless the operator says otherwise.

What a server answers is not kept: a filter that refuses an e-mail for the link in it may quote the link. Its code is
(RFC 3463), and the server's own log has the rest.
"""

import asyncio
import re
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

import aiosmtplib

from api.mail.carrying import Letter, Trouble
from producers.secret_settings import UnfitSettings

_STEP_S: Final = 15.0  # for one command of the dialogue
_WHOLE_S: Final = 45.0  # shorter than the first wait between attempts: nobody else takes the letter meanwhile
_GOODBYE_S: Final = 5.0
_FAILURES: Final = (aiosmtplib.SMTPException, OSError, TimeoutError, ValueError)
_PORTS: Final = {"smtp": 587, "smtps": 465}
_ENHANCED: Final = re.compile(r"[245]\.\d{1,3}\.\d{1,3}(?=\s|$)")
_LOG_IN_FIRST: Final = 530  # RFC 4954, 6; also: STARTTLS first (RFC 3207, 4)
_HOW: Final = (
    "HOOKLINE_SMTP_URL must be smtp://user:password@host:587 (STARTTLS) or smtps://user:password@host:465; "
    "user and password may be left out, and where they are, smtp://host:25?starttls=no sends without TLS"
)


@dataclass(frozen=True, slots=True)
class Server:
    """A server and how to speak with it. `starttls`: required; a server that does not offer it is not spoken with."""

    host: str
    port: int
    implicit_tls: bool
    starttls: bool
    user: str | None = None
    password: str | None = field(default=None, repr=False)


def server_of(url: str) -> Server:
    """Return the server that a setting names; raises UnfitSettings, which does not quote it."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise UnfitSettings(_HOW) from None
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    in_the_open = options == {"starttls": "no"} and parts.scheme == "smtp"
    is_whole = parts.scheme in _PORTS and parts.hostname and parts.path in {"", "/"} and not parts.fragment
    if not is_whole or not parts.hostname or (options and not in_the_open):
        raise UnfitSettings(_HOW)
    if (parts.username is None) != (parts.password is None) or (parts.username is not None and in_the_open):
        raise UnfitSettings(f"{_HOW}; a password never goes without TLS")
    return Server(
        host=parts.hostname,
        port=_PORTS[parts.scheme] if port is None else port,
        implicit_tls=parts.scheme == "smtps",
        starttls=parts.scheme == "smtp" and not in_the_open,
        user=None if parts.username is None else unquote(parts.username),
        password=None if parts.password is None else unquote(parts.password),
    )


class SmtpServer:
    """Carries letters to a server; a connection each, so that one that went wrong spoils no other."""

    def __init__(self, server: Server, *, step_s: float = _STEP_S, whole_s: float = _WHOLE_S) -> None:
        self._server = server
        self._step_s = step_s
        self._whole_s = whole_s
        self._tls = ssl.create_default_context()  # the machine's authorities; SSL_CERT_FILE names others

    async def carry(self, letter: Letter) -> Trouble | None:
        """Return None once the server has taken it."""
        try:
            await self._dialogue(letter)
        except _FAILURES as error:
            return trouble_of(error)
        return None

    async def _dialogue(self, letter: Letter) -> None:
        server = self._server
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.user,
            password=server.password,
            use_tls=server.implicit_tls,
            start_tls=server.starttls,
            tls_context=self._tls if server.implicit_tls or server.starttls else None,
            timeout=self._step_s,
        )
        try:
            async with asyncio.timeout(self._whole_s):
                await client.connect()
                await client.send_message(letter.message, sender=letter.sender, recipients=[letter.recipient])
            with suppress(*_FAILURES):  # it is the server's by now, whatever becomes of the goodbye
                await client.quit(timeout=_GOODBYE_S)
        finally:
            client.close()


def trouble_of(error: Exception) -> Trouble:
    """Return what a failed dialogue means.

    What the server says for good (5yz; RFC 5321, 4.2.1) to MAIL, RCPT or DATA is about this letter. What it says before
    that is about us: the operator may mend it, so it is tried again.
    """
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        error = error.recipients[0]
    if not isinstance(error, aiosmtplib.SMTPResponseException):
        return Trouble(f"the server could not be used ({type(error).__name__})", with_all=True)
    about = {
        aiosmtplib.SMTPRecipientRefused: "the recipient",
        aiosmtplib.SMTPSenderRefused: "the sender",
        aiosmtplib.SMTPDataError: "the e-mail",
    }.get(type(error))
    said = _ENHANCED.match(error.message.strip())
    answer = f"{error.code} {said[0]}" if said else str(error.code)
    if about is None or error.code == _LOG_IN_FIRST:
        return Trouble(f"the server refused us ({type(error).__name__}, {answer})", with_all=True)
    return Trouble(f"the server refused {about} ({answer})", for_good=500 <= error.code < 600)
