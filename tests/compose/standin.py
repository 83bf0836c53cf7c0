"""A stand-in for the API at the wire: says what a test put there, and keeps what was asked."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

TOKEN = "an-administrators-token"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came."""

    method: str
    path: str
    params: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any


Answer = tuple[int, Any]
Answering = Callable[[Asked], Answer]


@dataclass
class StandIn:
    """Where it is, what it answers (`GET /stats`: paths below /api/v1), and what it was asked."""

    url: str
    answers: dict[str, Answer | Answering] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    @property
    def env(self) -> dict[str, str]:
        """Return the environment of a command that asks it."""
        return {"HOOKLINE_API_URL": self.url, "HOOKLINE_ADMIN_TOKEN": TOKEN}

    def answer(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        found = self.answers.get(f"{asked.method} {asked.path}", problem(404, "no such route"))
        return found(asked) if callable(found) else found


def problem(status: int, detail: str, *errors: dict[str, str]) -> Answer:
    """Return a problem document as api/problems.py writes it."""
    kind = {"type": "urn:hookline:problem:x", "title": "x", "status": status, "request_id": "req_1"}
    return status, {**kind, "detail": detail, **({"errors": list(errors)} if errors else {})}


def listed(*rows: Any) -> Answering:
    """Return what answers a list: pages of `limit` rows, with cursors."""

    def answer(asked: Asked) -> Answer:
        begin, limit = int(asked.params.get("cursor", "0")), int(asked.params.get("limit", "25"))
        end = begin + limit
        more = len(rows) > end
        return 200, {"data": rows[begin:end], "next_cursor": str(end) if more else None, "has_more": more}

    return answer


@contextmanager
def standing_in() -> Iterator[StandIn]:
    """Serve on loopback, each connection in a thread of its own."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            parts = urlsplit(self.path)
            raw = self.rfile.read(int(self.headers.get("content-length", "0")))
            asked = Asked(
                self.command,
                parts.path.removeprefix("/api/v1"),
                dict(parse_qsl(parts.query)),
                {name.lower(): value for name, value in self.headers.items()},
                json.loads(raw) if raw else None,
            )
            status, body = standin.answer(asked)
            written = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(written)))
            self.end_headers()
            self.wfile.write(written)

        do_GET = do_POST = do_PATCH = do_DELETE = _handle  # noqa: N815 - http.server's names

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    standin = StandIn(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield standin
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
