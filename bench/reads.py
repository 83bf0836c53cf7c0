"""`python -m bench.reads URL`: GET requests/s of a running API, `/api/v1/deliveries` by default.

The client is a process of its own that keeps a few connections busy and reads no more of an answer than its length: a
whole HTTP client would cost more than the server. The token is in HOOKLINE_ADMIN_TOKEN.
"""

import argparse
import asyncio
import os
import sys
import time
from urllib.parse import urlsplit

import uvloop


def main() -> int:
    """Measure; return 1 when the rate is below `--at-least`, or an answer is not 200."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="such as http://127.0.0.1:8000")
    parser.add_argument("--path", default="/api/v1/deliveries")
    parser.add_argument("--organization", default="org_default")
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--at-once", type=int, default=8)
    parser.add_argument("--at-least", type=float, default=300.0, help="requests/s")
    arguments = parser.parse_args()
    took, durations = uvloop.run(_measured(arguments))
    rate = len(durations) / took
    durations.sort()
    p50, p99 = (durations[int(len(durations) * share)] * 1000 for share in (0.50, 0.99))
    print(f"{rate:.0f} requests/s, p50 {p50:.1f} ms, p99 {p99:.1f} ms")
    return 0 if rate >= arguments.at_least else 1


async def _measured(arguments: argparse.Namespace) -> tuple[float, list[float]]:
    parts = urlsplit(arguments.url)
    request = (
        f"GET {arguments.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        f"Authorization: Bearer {os.environ['HOOKLINE_ADMIN_TOKEN']}\r\n"
        f"Hookline-Organization: {arguments.organization}\r\n\r\n"
    ).encode()
    left = iter(range(arguments.requests))
    durations: list[float] = []

    async def ask() -> None:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        for _ in left:
            began = time.perf_counter()
            writer.write(request)
            await _read_answer(reader)
            durations.append(time.perf_counter() - began)
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(ask() for _ in range(arguments.at_once)))
    return time.perf_counter() - began, durations


async def _read_answer(reader: asyncio.StreamReader) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    status = head.split(b" ", 2)[1]
    if status != b"200":
        raise SystemExit(f"answered {status.decode()}")
    lines = head.lower().split(b"\r\n")
    length = next(int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:"))
    await reader.readexactly(length)


if __name__ == "__main__":
    sys.exit(main())
