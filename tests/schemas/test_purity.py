"""What an import brings along: schemas speak with nobody, and publishing needs neither worker nor API."""

import subprocess
import sys

import pytest

PROBE = """
import importlib, sys
importlib.import_module(sys.argv[1])
print(*sorted(set(sys.argv[2:]) & set(sys.modules)))
"""


def brought_along(module: str, *suspects: str) -> list[str]:
    """Return which of `suspects` a fresh interpreter has loaded once `module` is imported."""
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROBE, module, *suspects], capture_output=True, text=True, check=True
    )
    return run.stdout.split()


@pytest.mark.parametrize(
    "module",
    [
        *(
            "addresses",
            "catalogue",
            "checking",
            "codec",
            "envelope",
            "filters",
            "header_names",
            "headers",
            "ids",
            "patterns",
            "redaction",
            "sealing",
        ),
        *("signing", "topics", "urls", "waits"),
    ],
)
def test_schemas_bring_along_nothing_that_speaks(module: str) -> None:
    speakers = ("socket", "ssl", "asyncio", "selectors", "http.client", "urllib.request", "subprocess")
    clients = ("confluent_kafka", "aiokafka", "aiohttp", "httpx", "requests", "sqlalchemy", "asyncpg", "pydantic")
    assert brought_along(f"schemas.{module}", *speakers, *clients) == []


def test_a_service_that_publishes_loads_neither_worker_nor_api() -> None:
    others = ("faust", "mode", "aiokafka", "aiohttp", "fastapi", "starlette", "sqlalchemy", "asyncpg", "uvicorn")
    ours = ("processors", "api", "compose")
    assert brought_along("producers", *others, *ours) == []


def test_the_probe_sees_what_is_loaded() -> None:
    assert brought_along("producers.publisher", "asyncio", "confluent_kafka") == ["asyncio", "confluent_kafka"]
