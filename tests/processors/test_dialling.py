"""The guard, from a POST on: listeners that must stay silent and an audit hook on `socket.connect`.

The only fakes are at the wire: name servers that lie. Nothing leaves the loopback interface, so where a public
address must be part of an answer, it is one that a refused neighbour keeps from being dialled.
"""

# ruff: noqa: SIM905 -- a table of hosts reads better as words than as a list of quoted words
import asyncio
import datetime as dt
import errno
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_address
from pathlib import Path
from typing import TypeVar

import pytest
import uvloop
from aiohttp import ClientSession, ClientTimeout, TCPConnector, web
from aiohttp.abc import AbstractResolver, ResolveResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from yarl import URL

from processors.answers import Answer, HandshakeFailed
from processors.connections import Connections
from processors.dialling import Dialler, GuardedResolver, judged_socket
from processors.judging import UNKNOWN, AddressBlocked, Judge, blocked_address
from processors.names import DNS_TTL_S
from processors.requests import request_to, target_of
from schemas.addresses import networks_of, refusal_of
from tests.schemas.test_addresses import BAD, BAD_IPV4, BAD_IPV6

NOT_LOOPBACK = [address for address in BAD if refusal_of(address, allow_loopback=True)]
EVERY_PORT = frozenset(range(1, 65536))
PUBLIC = ["93.184.216.34", "2606:4700::1111"]  # never dialled here: always next to a refused one


class Dialled:
    """What was passed to `socket.connect` in this process, by anybody, since `clear`."""

    def __init__(self) -> None:
        self.addresses: list[str] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if event in ("socket.connect", "socket.sendto") and isinstance(target := arguments[1], tuple):
            self.addresses.append(str(target[0]))


_DIALLED = Dialled()  # once a process: an audit hook cannot be taken away


@pytest.fixture
def dialled() -> list[str]:
    _DIALLED.addresses.clear()
    return _DIALLED.addresses


class Listeners:
    """Both loopback addresses on one port, where the system keeps what called until somebody looks."""

    def __init__(self) -> None:
        self._listening = [socket.create_server(("127.0.0.1", 0))]
        self.port = int(self._listening[0].getsockname()[1])
        with suppress(OSError):  # no IPv6 in this container: the audit hook watches alone
            self._listening.append(socket.create_server(("::1", self.port), family=socket.AF_INET6))

    def calls(self) -> int:
        """Return how many connected since the last look."""
        found = 0
        for listening in self._listening:
            listening.setblocking(False)
            with suppress(BlockingIOError):
                while True:
                    listening.accept()[0].close()
                    found += 1
        return found

    def close(self) -> None:
        for listening in self._listening:
            listening.close()


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port on which both loopback addresses listen, and which nobody may call."""
    listeners = Listeners()
    yield listeners.port
    calls = listeners.calls()
    listeners.close()
    assert calls == 0


@pytest.fixture
async def receiver() -> AsyncIterator[tuple[int, list[web.Request]]]:
    """A receiver on 127.0.0.1: its port and what it has received. It closes each connection after its answer."""
    received: list[web.Request] = []

    async def answer(request: web.Request) -> web.Response:
        received.append(request)
        response = web.Response(body=bytes(4_000_000))  # more than buffers hold: the caller still has its socket
        response.force_close()
        return response

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield int(runner.addresses[0][1]), received
    await runner.cleanup()


class NameServer(AbstractResolver):
    """Answers with what `answer` returns for a name; raises what it raises."""

    def __init__(self, answer: Callable[[str], list[str]]) -> None:
        self._answer = answer
        self.asked = 0
        self.closed = False

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002 -- aiohttp calls it by name
    ) -> list[ResolveResult]:
        self.asked += 1
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._answer(host)
        ]

    async def close(self) -> None:
        self.closed = True


class Session:
    """Posts as a Sender does."""

    def __init__(self, connections: Connections) -> None:
        self.connections = connections

    async def post(self, url: str, *listed: str) -> Answer:
        target = target_of(URL(url))
        request = request_to(target, {}, b"{}")
        return await self.connections.exchange(target, networks_of(listed), request, within_s=5)


@asynccontextmanager
async def _session(
    answer: Callable[[str], list[str]] | None = None,
    *,
    allow_loopback: bool = False,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Session]:
    resolver = NameServer(answer) if answer else None
    dialler = Dialler(Judge(allow_loopback, EVERY_PORT), tls=tls, resolver=resolver)
    connections = Connections(dialler, most_idle=20)
    yield Session(connections)
    await connections.close()


async def _failure_of(session: Session, url: str) -> Exception:
    with pytest.raises((OSError, HandshakeFailed)) as caught:
        await session.post(url)
    return caught.value


def _url_of(address: str, port: int) -> str:
    return f"http://[{address}]:{port}/" if ":" in address else f"http://{address}:{port}/"


async def test_the_stock_connector_would_call_and_be_heard(dialled: list[str]) -> None:
    """The control: without the guard the same listeners hear, and the same hook sees."""
    listeners = Listeners()
    stock = TCPConnector(resolver=NameServer(lambda _: ["127.0.0.1"]))
    async with ClientSession(connector=stock, timeout=ClientTimeout(total=0.2)) as session:
        for host in ("inwards.example", "127.0.0.1"):
            with pytest.raises(TimeoutError):
                await session.post(f"http://{host}:{listeners.port}/")
    assert (listeners.calls(), dialled) == (2, ["127.0.0.1", "127.0.0.1"])
    listeners.close()


async def test_no_refused_literal_is_dialled(dialled: list[str], silent_port: int) -> None:
    async with _session() as session:
        for address in BAD:
            blocked = blocked_address(await _failure_of(session, _url_of(address, silent_port)))
            assert blocked is not None, address
            assert ip_address(blocked.address) == ip_address(address)
            assert blocked.reason == refusal_of(address)
    assert dialled == []


MIXTURES: dict[str, Callable[[str], list[str]]] = {
    "alone": lambda bad: [bad],
    "twice": lambda bad: [bad, bad],
    "last": lambda bad: [*PUBLIC, bad],
    "first": lambda bad: [bad, *PUBLIC],
    "between": lambda bad: [PUBLIC[0], bad, PUBLIC[1]],
    "with other bad ones": lambda bad: [bad, "10.0.0.1", "::1", *PUBLIC],
}


@pytest.mark.parametrize("mixture", MIXTURES)
async def test_a_name_with_a_refused_answer_is_refused_whole(
    mixture: str, dialled: list[str], silent_port: int
) -> None:
    answers = {f"n{number}.example": MIXTURES[mixture](address) for number, address in enumerate(BAD)}
    async with _session(answers.__getitem__) as session:
        for name, addresses in answers.items():
            error = await _failure_of(session, f"http://{name}:{silent_port}/")
            blocked = blocked_address(error)
            assert blocked is not None, addresses
            assert blocked.address in addresses
            assert refusal_of(blocked.address) == blocked.reason
    assert dialled == []


@pytest.mark.parametrize(
    "host",
    "2130706433 127.1 127.0.1 0177.0.0.1 017700000001 0x7f.1 0x7f000001 0x7f.0x0.0x0.0x1 127.0.0.1. 127.1. 00127.0.0.1 "
    "１２７.０.０.１ 127。0。0。1 ①②⑦.0.0.1 0x7f.1. 0 0x0 0.0.0.0 [::ffff:127.0.0.1] [::ffff:7f00:1] [::127.0.0.1] "
    "[0:0:0:0:0:0:0:1] [::1%25lo] [::1%25] localhost LOCALHOST localhost. ｌocalhost".split(),
)
async def test_odd_spellings_of_loopback_are_not_dialled_whoever_checked_the_url(
    host: str, dialled: list[str], silent_port: int
) -> None:
    """Through the system's own resolver, which reads 0x7f.1 and 127.1 as addresses."""
    async with _session() as session:
        with pytest.raises((OSError, ValueError)):  # ValueError: yarl refuses some of them itself
            await session.post(f"http://{host}:{silent_port}/")
    assert "127.0.0.1" not in dialled
    assert all(refusal_of(address) is None for address in dialled)


@pytest.mark.parametrize("bad", NOT_LOOPBACK)
async def test_a_name_that_turns_bad_after_its_first_answer_is_refused(
    bad: str, dialled: list[str], receiver: tuple[int, list[web.Request]]
) -> None:
    port, received = receiver
    answers = iter([["127.0.0.1"], [bad], ["127.0.0.1", bad], [bad, "127.0.0.1"], ["127.0.0.1"]])
    async with _session(lambda _: next(answers), allow_loopback=True) as session:
        blocked: list[bool] = []
        for _ in range(5):
            session.connections.forget_names()
            try:
                assert (await session.post(f"http://rebinding.example:{port}/")).status == 200
                blocked.append(False)
            except OSError as error:
                blocked.append(blocked_address(error) is not None)
    assert blocked == [False, True, True, True, False]
    assert len(received) == 2
    assert set(dialled) == {"127.0.0.1"}


async def test_one_name_asked_by_many_at_once_is_refused_to_each(dialled: list[str], silent_port: int) -> None:
    async with _session(lambda _: [*PUBLIC, "10.0.0.1"]) as session:
        errors = await asyncio.gather(
            *(_failure_of(session, f"http://many.example:{silent_port}/{number}") for number in range(20))
        )
    assert all(blocked_address(error) is not None for error in errors)
    assert dialled == []


async def test_a_refused_answer_is_not_remembered_and_a_good_one_for_ten_seconds(
    receiver: tuple[int, list[web.Request]],
) -> None:
    name_server = NameServer(lambda _: ["10.0.0.1"] if name_server.asked == 1 else ["127.0.0.1"])
    dialler = Dialler(Judge(allow_loopback=True), resolver=name_server)
    session = Session(Connections(dialler, most_idle=0))
    assert DNS_TTL_S == 10
    url = f"http://moving.example:{receiver[0]}/"
    assert blocked_address(await _failure_of(session, url))
    for _ in range(2):
        assert (await session.post(url)).status == 200
    assert name_server.asked == 2
    await session.connections.close()
    assert name_server.closed


async def test_a_redirect_inwards_is_an_answer_and_nothing_is_dialled(dialled: list[str], silent_port: int) -> None:
    async def redirect(_: web.Request) -> web.Response:
        raise web.HTTPTemporaryRedirect("http://10.0.0.1/")

    application = web.Application()
    application.router.add_post("/", redirect)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with _session(allow_loopback=True) as session:
            assert (await session.post(f"http://127.0.0.1:{runner.addresses[0][1]}/")).status == 307
    finally:
        await runner.cleanup()
    assert dialled == ["127.0.0.1"]


async def test_the_receiver_sees_the_name_and_the_socket_has_nodelay(
    receiver: tuple[int, list[web.Request]], monkeypatch: pytest.MonkeyPatch, silent_port: int
) -> None:
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(variable, f"http://127.0.0.1:{silent_port}")  # a proxy that must stay unused
    port, received = receiver
    dialler = Dialler(Judge(allow_loopback=True), resolver=NameServer(lambda _: ["127.0.0.1"]))
    target = target_of(URL(f"http://hook.example:{port}/x"))
    connection = await dialler.dial(target, ())
    assert connection._transport is not None
    used = connection._transport.get_extra_info("socket")
    assert used.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
    answer = await connection.exchange(request_to(target, {}, b"{}"), asyncio.get_running_loop().time() + 5)
    assert answer.status == 200
    await dialler.close()
    assert received[0].headers["Host"] == f"hook.example:{port}"


def _certificate_for(name: str, folder: Path) -> tuple[Path, str]:
    """A self-signed certificate for `name`: the file with its key, and the certificate as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    path = folder / "certificate.pem"
    path.write_bytes(
        pem
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path, pem.decode()


async def test_tls_keeps_the_name_and_checks_the_certificate_against_it(tmp_path: Path) -> None:
    path, pem = _certificate_for("hook.example", tmp_path)
    server_tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server_tls.load_cert_chain(path)
    named: list[str | None] = []
    server_tls.sni_callback = lambda _socket, name, _context: named.append(name)

    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response(text="ok")

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server_tls).start()
    port = runner.addresses[0][1]
    try:
        tls = ssl.create_default_context(cadata=pem)
        async with _session(lambda _: ["127.0.0.1"], allow_loopback=True, tls=tls) as session:
            assert (await session.post(f"https://hook.example:{port}/")).status == 200
            other = await _failure_of(session, f"https://other.example:{port}/")
        async with _session(lambda _: ["127.0.0.1"], allow_loopback=True) as session:
            unknown = await _failure_of(session, f"https://hook.example:{port}/")
    finally:
        await runner.cleanup()
    assert named == ["hook.example", "other.example", "hook.example"]
    assert [blocked_address(other), blocked_address(unknown)] == [None, None]


def _raising(error: Exception) -> Callable[[str], list[str]]:
    def answer(_: str) -> list[str]:
        raise error

    return answer


@pytest.mark.parametrize(
    "answer",
    [
        _raising(socket.gaierror(socket.EAI_NONAME, "Name or service not known")),
        _raising(socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")),
        _raising(UnicodeError("label too long")),
        _raising(ValueError("embedded null character")),
        lambda _: [],
    ],
    ids=["no name", "no name server", "no label", "NUL", "no address"],
)
async def test_a_name_that_has_no_address_is_a_dns_error_and_not_a_blocked_one(
    answer: Callable[[str], list[str]], dialled: list[str]
) -> None:
    async with _session(answer) as session:
        error = await _failure_of(session, "http://nowhere.example/")
    assert isinstance(error, socket.gaierror)
    assert blocked_address(error) is None
    assert dialled == []


@pytest.mark.parametrize("host", ["127.0.0.1", "nobody.example"])
async def test_a_port_that_nobody_listens_on_is_a_connect_error_and_not_a_blocked_one(host: str) -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        async with _session(lambda _: ["127.0.0.1", "127.0.0.2"], allow_loopback=True) as session:
            error = await _failure_of(session, f"http://{host}:{unheard.getsockname()[1]}/")
    assert isinstance(error, OSError)
    assert not isinstance(error, socket.gaierror)
    assert error.errno == errno.ECONNREFUSED
    assert blocked_address(error) is None


def test_the_guard_holds_on_uvloop(dialled: list[str], silent_port: int) -> None:
    async def story() -> None:
        async with _session(lambda _: [PUBLIC[0], "127.0.0.1"]) as session:
            for host in ("127.0.0.1", "[::ffff:7f00:1]", "[::1]", "a.example"):
                assert blocked_address(await _failure_of(session, f"http://{host}:{silent_port}/")), host
        async with _session() as session:
            with pytest.raises(AddressBlocked):
                await session.post(f"http://0x7f.1:{silent_port}/")

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(story())
    assert dialled == []


LOOPBACK_V4, LOOPBACK_V6 = ("127.0.0.1", 80), ("::1", 80, 0, 0)


@pytest.mark.parametrize(
    ("family", "target", "allow_loopback", "reason"),
    [
        (socket.AF_INET, LOOPBACK_V4, False, "loopback (RFC 1122, 3.2.1.3)"),
        (socket.AF_INET6, LOOPBACK_V6, False, "loopback (RFC 4291, 2.5.3)"),
        (socket.AF_INET6, ("fe80::1%eth0", 80, 0, 0), True, "with a zone id (RFC 4007)"),
        (socket.AF_INET6, ("2606:4700::1111", 80, 0, 2), True, "with a zone id (RFC 4007)"),
        (socket.AF_INET6, ("::ffff:10.0.0.1", 80, 0, 0), True, "private (RFC 1918)"),
        (socket.AF_INET, ("localhost", 80), True, "not an IP address"),  # asyncio would look it up again
        (socket.AF_INET, ("127.1", 80), True, "not an IP address"),
        (socket.AF_UNIX, ("/var/run/docker.sock", 0), True, "not an internet address"),
    ],
)
def test_no_socket_is_made_for_what_may_not_be_dialled(
    family: socket.AddressFamily, target: tuple[str, int], allow_loopback: bool, reason: str
) -> None:
    with pytest.raises(AddressBlocked) as caught:
        judged_socket(Judge(allow_loopback), (), (family, socket.SOCK_STREAM, 0, "", target))
    assert (caught.value.address, caught.value.reason) == (target[0], reason)
    assert caught.value.errno == errno.EACCES
    assert f"the address is refused: {reason}" in str(caught.value)


@pytest.mark.parametrize(
    ("family", "target"),
    [(socket.AF_INET, LOOPBACK_V4), (socket.AF_INET6, LOOPBACK_V6), (socket.AF_INET, (PUBLIC[0], 443))],
)
def test_a_socket_is_made_and_not_connected_for_what_may_be_dialled(
    family: socket.AddressFamily, target: tuple[str, int], dialled: list[str]
) -> None:
    info = (family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", target)
    with judged_socket(Judge(allow_loopback=True), (), info) as made:
        assert (made.family, made.type) == (family, socket.SOCK_STREAM)
    assert dialled == []


async def test_closing_the_guarded_resolver_closes_the_one_inside() -> None:
    name_server = NameServer(lambda _: [])
    await GuardedResolver(name_server, Judge(allow_loopback=False)).close()
    assert name_server.closed


_Error = TypeVar("_Error", bound=BaseException)
BLOCKED = AddressBlocked("10.0.0.1", "private (RFC 1918)")


def _caused(cause: BaseException, error: _Error) -> _Error:
    error.__cause__ = cause
    return error


def _during(context: BaseException, error: _Error) -> _Error:
    error.__context__ = context
    return error


def _instead(context: BaseException, error: _Error) -> _Error:
    error.__context__, error.__suppress_context__ = context, True
    return error


def _in_a_circle() -> BaseException:
    first, second = OSError("first"), OSError("second")
    first.__context__, second.__context__ = second, first
    return first


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (BLOCKED, True),
        (_caused(BLOCKED, OSError()), True),
        (_caused(_caused(BLOCKED, OSError()), ValueError()), True),
        (_during(BLOCKED, OSError()), True),
        (_instead(BLOCKED, OSError()), False),  # `raise … from None`: its author says it is not about that
        (ExceptionGroup("all", [OSError(), ExceptionGroup("some", [_caused(BLOCKED, ValueError())])]), True),
        (BaseExceptionGroup("all", [KeyboardInterrupt(), OSError()]), False),
        (_in_a_circle(), False),
        (
            OSError(errno.EACCES, "10.0.0.1 is refused: private (RFC 1918)"),
            False,
        ),  # nobody matches on a message
    ],
)
def test_a_blocked_address_is_found_wherever_it_hides(error: BaseException, found: bool) -> None:
    assert blocked_address(error) is (BLOCKED if found else None)


def test_every_bad_address_takes_part() -> None:
    assert len(BAD) == len(BAD_IPV4) + len(BAD_IPV6) >= 140
    assert len(NOT_LOOPBACK) >= 140


# The subscription's own list, where a connection is made and where one is kept


@pytest.fixture
async def keeping() -> AsyncIterator[tuple[int, list[str]]]:
    """A receiver on 127.0.0.1 and 127.0.0.2 that keeps connections: its port, and by which address it was called."""
    called: list[str] = []

    async def answer(request: web.BaseRequest) -> web.Response:
        assert request.transport is not None
        called.append(str(request.transport.get_extra_info("sockname")[0]))
        return web.Response(text=called[-1])

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = int(runner.addresses[0][1])
    await web.TCPSite(runner, "127.0.0.2", port).start()
    yield port, called
    await runner.cleanup()


async def test_a_kept_connection_outside_the_list_is_not_used_and_one_inside_is(
    keeping: tuple[int, list[str]], dialled: list[str]
) -> None:
    port, called = keeping
    url = f"http://two.example:{port}/"
    async with _session(lambda _: ["127.0.0.1", "127.0.0.2"], allow_loopback=True) as session:
        await session.post(url)  # of a subscription without a list, whose connection is kept
        (first,) = called
        other = {"127.0.0.1": "127.0.0.2", "127.0.0.2": "127.0.0.1"}[first]
        for _ in range(2):
            await session.post(url, f"{other}/32")
        assert (called, dialled) == ([first, other, other], [first, other])
        with pytest.raises(AddressBlocked):
            await session.post(url, "8.8.8.0/24")
        await session.post(url)  # what was kept first is still there
    assert (called, dialled) == ([first, other, other, first], [first, other])


async def test_of_a_names_addresses_only_those_in_the_list_are_dialled(
    keeping: tuple[int, list[str]], dialled: list[str]
) -> None:
    port, called = keeping
    async with _session(lambda _: ["127.0.0.3", "127.0.0.1", "127.0.0.2"], allow_loopback=True) as session:
        for _ in range(5):
            await session.post(f"http://three.example:{port}/", "127.0.0.2/32")
    assert (set(called), set(dialled)) == ({"127.0.0.2"}, {"127.0.0.2"})


async def test_many_at_once_each_get_their_own_list(keeping: tuple[int, list[str]], dialled: list[str]) -> None:
    port, called = keeping

    async def post(number: int) -> str:
        address = f"127.0.0.{1 + number % 2}"
        answer = await session.post(f"http://two.example:{port}/{number}", f"{address}/32")
        assert answer.body == address.encode()
        return address

    async with _session(lambda _: ["127.0.0.1", "127.0.0.2"], allow_loopback=True) as session:
        peers = await asyncio.gather(*(post(number) for number in range(200)))
    assert sorted(called) == sorted(peers)
    assert set(dialled) == {"127.0.0.1", "127.0.0.2"}


async def test_who_says_nothing_of_a_list_dials_nothing(keeping: tuple[int, list[str]], dialled: list[str]) -> None:
    dialler = Dialler(Judge(allow_loopback=True))
    with pytest.raises(AddressBlocked) as caught:
        await dialler.dial(target_of(URL(f"http://127.0.0.1:{keeping[0]}/")), None)
    assert caught.value.reason == UNKNOWN
    assert dialled == []


@pytest.mark.parametrize("url", ["ws://127.0.0.1:1/", "http://a_b.example/", "http://127.0.0.1%00.example/"])
async def test_what_no_url_of_a_subscription_can_ask_for_is_refused(url: str, dialled: list[str]) -> None:
    """It would end in an AssertionError or a TypeError, which stop a worker."""
    async with _session(lambda _: ["127.0.0.1"], allow_loopback=True) as session:
        with pytest.raises(AddressBlocked):
            await session.post(url)
    assert dialled == []
