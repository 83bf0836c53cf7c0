"""One place dials customers' addresses: everything that could open a connection elsewhere is listed here, with whom to.

Who adds a client, a socket or a way around the guard finds this test first.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("schemas", "producers", "processors", "api")  # compose opens none but on the operator's own machine

# What can speak with an address that somebody names. Of others, all that we import is named below: a new one is judged
# by whoever adds it.
STANDARD = {
    *(
        "urllib.request",
        "http.client",
        "ftplib",
        "smtplib",
        "telnetlib",
        "poplib",
        "imaplib",
        "nntplib",
        "xmlrpc.client",
    ),
    *("socketserver", "subprocess", "multiprocessing", "ctypes", "webbrowser", "logging.handlers"),
}
HARMLESS = {
    *(
        "alembic",
        "argon2",
        "bcrypt",
        "cachetools",
        "cel_expr_python",
        "cryptography",
        "fastapi",
        "fastavro",
        "httptools",
        "idna",
        "itsdangerous",
        "jinja2",
        "joserfc",
        "markupsafe",
        "multidict",
        "orjson",
        "prometheus_client",
        "pwdlib",
        "pydantic",
        "pydantic_core",
    ),
    *("pydantic_settings", "sqlalchemy", "starlette", "structlog", "uuid_utils", "uvicorn", "uvloop", "yaml", "yarl"),
}
# The addresses are the operator's: `limits` speaks with Redis, `aiosmtplib` with the mail server.
OUR_SERVERS = {"asyncpg", "confluent_kafka", "faust", "mode", "aiokafka", "aiosmtplib", "limits", "redis"}
OPENERS = {
    *("ClientSession", "TCPConnector", "start_connection", "Dialler", "Connections", "Sender"),
    *("socket", "create_connection", "open_connection", "open_unix_connection", "create_datagram_endpoint"),
    *("create_unix_connection", "sock_connect", "start_tls", "fork", "system", "popen", "create_subprocess_exec"),
    *("create_subprocess_shell"),
}

IMPORTS = {
    "processors/dialling.py": {"aiohappyeyeballs", "aiohttp"},  # the guard; of aiohttp the type of a resolver
    "processors/names.py": {"aiohttp"},  # the same type
}
CALLS = {
    "processors/connections.py": {"Dialler"},  # as a type: the only caller of the guard
    "processors/dialling.py": {"socket", "start_connection", "create_connection"},
    "processors/own_addresses.py": {"socket"},  # netlink: the kernel
    "processors/sending.py": {"Connections", "Dialler"},
    "processors/delivering.py": {"Sender"},  # as a type: live deliveries, retries, test sends and replays
    "processors/worker.py": {"Sender"},
}


def trees() -> Iterator[tuple[str, ast.Module]]:
    """Yield each module of ours that runs in production, with its path."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text())


def imported(tree: ast.Module) -> set[str]:
    """Return what a module imports, wherever in it, that is neither ours, harmless nor for servers of our own."""
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    tops = {name.partition(".")[0] for name in names}
    return (names | tops) & STANDARD | tops - {*sys.stdlib_module_names, *PACKAGES} - HARMLESS - OUR_SERVERS


def called(tree: ast.Module) -> set[str]:
    """Return which of OPENERS a module calls or hands on, by their last name."""
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    attributes = {func.attr for func in calls if isinstance(func, ast.Attribute)}
    return ((names - {"socket"}) | attributes) & OPENERS


def test_clients_are_imported_only_where_they_are_listed() -> None:
    assert {path: found for path, tree in trees() if (found := imported(tree))} == IMPORTS


def test_connections_are_opened_only_where_they_are_listed() -> None:
    assert {path: found for path, tree in trees() if (found := called(tree))} == CALLS


def test_the_worker_has_one_sender_for_live_deliveries_retries_test_sends_and_replays() -> None:
    worker = ast.parse((ROOT / "processors" / "worker.py").read_text())
    made = [node for node in ast.walk(worker) if isinstance(node, ast.Call) and ast.unparse(node.func) == "Sender"]
    assert len(made) == 1
    given = {keyword.arg: ast.unparse(keyword.value) for keyword in made[0].keywords}
    assert (given["allow_loopback"], given["ports"]) == ("settings.development", "settings.ports")
