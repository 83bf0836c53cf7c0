"""docs/seeds.md: every row that is not `later` names something that is there."""

import re
from collections.abc import Callable
from dataclasses import fields
from functools import cache
from pathlib import Path

import pytest
from pydantic import SecretStr
from starlette.routing import Route

from api import access, callers
from api.app import create_app
from api.settings import ApiSettings
from api.tables import metadata
from processors.settings import WorkerSettings
from producers.settings import KafkaSettings
from schemas import signing
from schemas.records import Subscription
from schemas.topics import declared_topics
from tests.compose.commands import options_of

ROOT = Path(__file__).parents[1]
DOCUMENT = (ROOT / "docs" / "seeds.md").read_text()
ROWS = re.findall(r"^\| (endpoint|header|queue|job|table|command) \| (.+?) \| (.+?) \|$", DOCUMENT, re.MULTILINE)
OURS = sorted({name for _, _, ours in ROWS for name in re.findall(r"`([^`]+)`", ours)})
OPEN_ISSUES = {"4", "5", "6", "7"}


def test_every_system_and_kind_is_there_and_no_row_is_lost() -> None:
    systems = re.split(r"^## ", DOCUMENT, flags=re.MULTILINE)[1:]
    assert [system[:3] for system in systems] == ["000", "001", "002", "003", "004"]
    assert len(ROWS) == sum(line.startswith("| ") and not line.startswith("| kind") for line in DOCUMENT.splitlines())
    for system in systems:
        assert {"endpoint", "header", "job", "table"} <= set(re.findall(r"^\| (\w+)", system, re.MULTILINE))


@pytest.mark.parametrize("ours", sorted({ours for _, _, ours in ROWS}))
def test_a_row_names_ours_or_says_later(ours: str) -> None:
    if later := re.fullmatch(r"later(?: \(issue (\d+)\))?", ours):
        assert later[1] in {None, *OPEN_ISSUES}
    else:
        assert re.fullmatch(r"`[^`]+`(, `[^`]+`)*", ours)


@cache  # the document takes seconds to make
def _routes() -> set[str]:
    """Return `METHOD /path` of every route, parameters as `{}`; most are in the OpenAPI document, itself is not."""
    settings = ApiSettings(admin_token=SecretStr("a" * 16), master_keys=SecretStr("k1:" + "A" * 43 + "="))
    described = create_app(settings, KafkaSettings())
    document = described.openapi()
    found = {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods}
    found |= {
        f"{method} {route.path}"
        for route in described.routes
        if isinstance(route, Route)
        for method in route.methods or ()
    }
    return {re.sub(r"\{\w+\}", "{}", each) for each in found}


def _is_route(name: str) -> bool:
    return re.sub(r"\{\w+\}", "{}", name) in _routes()


def _is_command(name: str) -> bool:
    options_of(name.split()[1:])
    return True


def _is_table(name: str) -> bool:
    return name in {table.name for table in metadata.tables.values()}


def _is_topic(name: str) -> bool:
    return name in {topic.name for topic in declared_topics(WorkerSettings.model_validate({}).retry_waits.tiers)}


def _is_header(name: str) -> bool:
    sent = {signing.ID_HEADER, signing.TIMESTAMP_HEADER, *signing.SIGNATURE_HEADERS.values()}
    read = {access.REQUEST_ID_HEADER, callers.ORGANIZATION_HEADER, "Authorization", "ETag", "If-None-Match"}
    source = "".join(path.read_text() for path in (ROOT / "api").glob("*.py")).lower()
    return name in sent or (name in read and f'"{name.lower()}' in source)


def _is_field(name: str) -> bool:
    return name in {field.name for field in fields(Subscription)}


def _is_file(name: str) -> bool:
    return (ROOT / name).is_file()


def _is_target(name: str) -> bool:
    return re.search(rf"^{name}:", (ROOT / "Makefile").read_text(), re.MULTILINE) is not None


KINDS: dict[str, Callable[[str], bool]] = {
    "table:": _is_table,
    "topic:": _is_topic,
    "header:": _is_header,
    "field:": _is_field,
    "file:": _is_file,
    "make ": _is_target,
}


@pytest.mark.parametrize("name", OURS)
def test_what_is_ours_is_there(name: str) -> None:
    if re.match(r"(GET|POST|PUT|PATCH|DELETE) /", name):
        assert _is_route(name)
    elif name.startswith("hookline "):
        assert _is_command(name)
    else:
        (prefix,) = (prefix for prefix in KINDS if name.startswith(prefix))
        assert KINDS[prefix](name.removeprefix(prefix))
