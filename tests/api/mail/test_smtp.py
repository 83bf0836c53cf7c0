"""The operator's SMTP server, a real one: TLS, login, what it refuses and when it hangs."""

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from api.mail.carrying import Folder
from api.mail.sending import MailSender, carrier_of
from api.mail.smtp import SmtpServer, server_of
from producers.secret_settings import UnfitSettings
from tests.api.conftest import NO_DATABASE_URL, settings_of
from tests.api.mail.posting import PASSWORD, USER, PostOffice, Server, serving


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate of `localhost`, with its key in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


def tls_of(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def with_login(server: Server, *, password: str = PASSWORD) -> SecretStr:
    return SecretStr(server.url.replace("://", f"://{USER}:{quote(password, safe='')}@"))


@pytest.mark.postgres
@pytest.mark.parametrize("implicit_tls", [True, False])
async def test_it_logs_in_over_tls(
    office: PostOffice, certificate: Path, monkeypatch: pytest.MonkeyPatch, implicit_tls: bool
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    await office.queue()
    server = Server(tls=tls_of(certificate))
    async with serving(server, implicit_tls=implicit_tls, starttls=not implicit_tls, login=True):
        assert await office.send(office.sender(smtp_url=with_login(server)))
    assert (await office.mail())["state"] == "sent"
    (session,) = server.sessions
    assert session.authenticated
    assert implicit_tls or session.ssl is not None


@pytest.mark.postgres
async def test_a_wrong_password_is_the_operators_to_mend_and_is_in_no_row(
    office: PostOffice, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    await office.queue()
    async with serving(Server(tls=tls_of(certificate)), starttls=True, login=True) as server:
        assert not await office.send(office.sender(smtp_url=with_login(server, password="wrong-password")))
    row = await office.mail()
    assert (row["state"], server.got) == ("queued", [])
    assert row["last_error"] == "the server refused us (SMTPAuthenticationError, 535 5.7.8)"


@pytest.mark.postgres
@pytest.mark.parametrize("implicit_tls", [True, False])
async def test_a_server_whose_certificate_nobody_vouches_for_gets_nothing(
    office: PostOffice, certificate: Path, implicit_tls: bool
) -> None:
    await office.queue()
    server = Server(tls=tls_of(certificate))
    async with serving(server, implicit_tls=implicit_tls, starttls=not implicit_tls):
        assert not await office.send(office.sender(server))
    assert (server.got, (await office.mail())["state"]) == ([], "queued")


@pytest.mark.postgres
async def test_a_server_that_offers_no_tls_gets_nothing_unless_the_operator_says_so(office: PostOffice) -> None:
    await office.queue()
    async with serving(Server()) as server:
        assert not await office.send(office.sender(smtp_url=SecretStr(server.url.partition("?")[0])))
        assert server.got == []
        office.clock.turn(minutes=1)
        assert await office.send(office.sender(smtp_url=SecretStr(server.url)))
    assert len(server.got) == 1


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("answers", "state", "error"),
    [
        ({"RCPT": "550 5.1.1 nobody of that name"}, "failed", "the server refused the recipient (550 5.1.1)"),
        ({"RCPT": "553 no"}, "failed", "the server refused the recipient (553)"),
        ({"RCPT": "450 busy"}, "queued", "the server refused the recipient (450)"),
        ({"DATA": "554 5.7.1 spam: http://x/?token=t"}, "failed", "the server refused the e-mail (554 5.7.1)"),
        ({"DATA": "452 4.3.1 full"}, "queued", "the server refused the e-mail (452 4.3.1)"),
        ({"MAIL": "550 5.7.0 not from you"}, "failed", "the server refused the sender (550 5.7.0)"),
        ({"MAIL": "530 5.7.0 log in first"}, "queued", "the server refused us (SMTPSenderRefused, 530 5.7.0)"),
    ],
)
async def test_what_is_refused_for_good_is_given_up_at_once(
    office: PostOffice, answers: dict[str, str | None], state: str, error: str
) -> None:
    await office.queue()
    async with serving(Server(answers=answers)) as server:
        await office.send(office.sender(server))
    row = await office.mail()
    assert (row["state"], row["last_error"], row["attempts"]) == (state, error, 1)
    assert (row["finished_at"] is None) == (state == "queued")


@pytest.mark.postgres
@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize(("step_s", "whole_s"), [(0.2, 20.0), (20.0, 0.2)])
async def test_a_server_that_hangs_is_left_and_the_others_wait_for_it(
    office: PostOffice, command: str, step_s: float, whole_s: float
) -> None:
    await office.queue(to="ann@example.com")
    await office.queue(to="bob@example.com")
    async with serving(Server(answers={command: None})) as server:
        carrier = SmtpServer(server_of(server.url), step_s=step_s, whole_s=whole_s)
        sender = MailSender(settings_of(office.url), carrier=carrier, clock=office.clock)
        assert not await office.send(sender)
    rows = await office.rows("SELECT state, attempts, last_error FROM mails ORDER BY attempts")
    assert [(row["state"], row["attempts"]) for row in rows] == [("queued", 0), ("queued", 1)]
    assert rows[1]["last_error"].startswith("the server could not be used (")


@pytest.mark.postgres
async def test_a_server_that_takes_it_and_hangs_at_the_goodbye_has_taken_it(
    office: PostOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.mail.smtp._GOODBYE_S", 0.1)
    await office.queue()
    async with serving(Server(answers={"QUIT": None})) as server:
        assert await office.send(office.sender(server))
    assert (await office.mail())["state"] == "sent"


@pytest.mark.postgres
async def test_no_server_at_all_is_tried_again(office: PostOffice) -> None:
    await office.queue()
    assert not await office.send(office.sender(smtp_url=SecretStr("smtp://127.0.0.1:1?starttls=no")))
    row = await office.mail()
    assert row["state"] == "queued"
    assert row["last_error"] == "the server could not be used (SMTPConnectError)"


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.example", ("mail.example", 587, False, True, None, None)),
        ("smtps://mail.example/", ("mail.example", 465, True, False, None, None)),
        ("smtps://u:p%40%3a@mail.example:2465", ("mail.example", 2465, True, False, "u", "p@:")),
        ("smtp://[::1]:25?starttls=no", ("::1", 25, False, False, None, None)),
    ],
)
def test_the_url_says_how_to_speak_with_the_server(url: str, server: tuple[object, ...]) -> None:
    found = server_of(url)
    assert (found.host, found.port, found.implicit_tls, found.starttls, found.user, found.password) == server
    assert found.password is None or found.password not in repr(found)


@pytest.mark.parametrize(
    "url",
    [
        "mail.example",
        "http://u:secret@mail.example",
        "smtp://",
        "smtp://mail.example:99999",
        "smtp://mail.example/folder",
        "smtp://mail.example?starttls=maybe",
        "smtps://mail.example?starttls=no",
        "smtp://u@mail.example",
        "smtp://u:secret@mail.example?starttls=no",
        "smtp://u:secret@[mail.example",
    ],
)
def test_a_url_that_says_something_else_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(UnfitSettings, match="HOOKLINE_SMTP_URL must be") as refused:
        MailSender(settings_of(NO_DATABASE_URL, smtp_url=SecretStr(url)))
    assert "secret" not in str(refused.value)


def test_the_url_may_be_in_a_file_and_a_blank_one_is_none(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("smtp://mail.example\n")
    assert isinstance(carrier_of(settings_of(NO_DATABASE_URL, smtp_url_file=tmp_path / "url")), SmtpServer)
    assert isinstance(carrier_of(settings_of(NO_DATABASE_URL, smtp_url=SecretStr(" "))), Folder)


@pytest.mark.parametrize("text", ["", "Hookline", "a@b, c@d", "a@b\nBcc: c@d", "Hook\nline <a@b>", "<>"])
def test_a_sender_that_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UnfitSettings, match="HOOKLINE_MAIL_FROM"):
        MailSender(settings_of(NO_DATABASE_URL, mail_from=text))
