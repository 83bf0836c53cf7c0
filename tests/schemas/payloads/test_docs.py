"""docs/payloads.md: every body in it is the one that its payload makes, and its numbers are the code's."""

import json
import re
from pathlib import Path

import orjson
import pytest

from api.dry_runs.bodies import DEFAULT_LIMIT, MOST_EVENTS
from api.dry_runs.routes import LONGEST_S
from schemas.catalogue import event_type_of
from schemas.payloads import PayloadSource, checked_payload, payload_of
from schemas.payloads.paths import LONGEST_PATH, path_of
from schemas.payloads.payload import MOST_PATHS

DOCUMENT = (Path(__file__).parents[3] / "docs" / "payloads.md").read_text()
BODIES = re.findall(r"```json\n(.+?)```", DOCUMENT, re.DOTALL)
MADE = re.findall(r"^`(\{[^`]+\})`(?:(?!^`\{).)*?```json\n(.+?)```", DOCUMENT, re.DOTALL | re.MULTILINE)
DELIVERY = "dlv_019a9f2b6c7d7e8f9a0b1c2d3e4f5a6b"


def test_all_bodies_are_made() -> None:
    assert len(BODIES) == len(MADE) + 1 == 6


@pytest.mark.parametrize(("payload", "body"), MADE)
def test_a_body_is_what_its_payload_makes(payload: str, body: str) -> None:
    event = json.loads(BODIES[0])
    source = PayloadSource.stored(orjson.dumps(event), event_type_of(event["type"]))
    made = payload_of(checked_payload(json.loads(payload))).body(source, delivery_id=DELIVERY)
    assert json.dumps(json.loads(made), indent=2) == body.strip()


def test_the_numbers_and_paths_are_the_codes() -> None:
    assert f"At most {MOST_PATHS} paths of {LONGEST_PATH} characters" in DOCUMENT
    assert f"({DEFAULT_LIMIT:,}; at most\n{MOST_EVENTS:,})" in DOCUMENT
    assert f"after {LONGEST_S:g} seconds" in DOCUMENT
    for path in re.findall(r"^\| `([^`]+)` \|", DOCUMENT, re.MULTILINE):
        assert path_of(path)
