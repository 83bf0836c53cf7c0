"""The description of the API: what it says of each route, what it says receivers get, and its committed copy."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson
import pytest

from api.webhooks import webhooks
from compose.openapi import check_copy, description
from schemas.catalogue import EventTypeState, catalogue
from schemas.envelope import body_of, new_event
from tests.api.declared import OPEN

OAUTH = {"/oauth/token", "/oauth/revoke", "/oauth/introspect"}  # errors as RFC 6749, 5.2, has them
COPY = Path(__file__).parents[2] / "docs" / "openapi.json"
DOCUMENT: dict[str, Any] = json.loads(COPY.read_text())  # the first test holds it to what the API says


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_the_committed_copy_is_what_the_api_says() -> None:
    check_copy(COPY)


@pytest.mark.slow
def test_it_is_the_same_in_every_process() -> None:
    env = {**os.environ, "PYTHONHASHSEED": "7", "HOOKLINE_LARGEST_EVENT_BYTES": "2048"}
    other = subprocess.run(
        [sys.executable, "-c", "import sys; from compose.openapi import description; sys.stdout.write(description())"],
        env=env,
        capture_output=True,
        check=True,
    )
    assert other.stdout.decode() == description()


def test_it_is_openapi_3_1_and_every_name_in_it_is_there() -> None:
    assert DOCUMENT["openapi"].startswith("3.1")
    for reference in set(re.findall(r'"#/([^"]+)"', json.dumps(DOCUMENT))):
        found = DOCUMENT
        for part in reference.split("/"):
            found = found[part]


def test_operations_have_ids_of_ours() -> None:
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(set(names)) == len(names)
    # FastAPI's own end with the path and the method: they change with both.
    assert [name for name in names if not re.fullmatch(r"[a-z]+(_[a-z]+)*", name) or "api_v1" in name] == []


def test_errors_are_problem_documents_and_nothing_of_fastapis() -> None:
    assert "HTTPValidationError" not in DOCUMENT["components"]["schemas"]
    for path, method, operation in operations():
        for status, response in operation["responses"].items():
            if int(status) >= 400 and path != "/readyz":
                wanted = "application/json" if path in OAUTH else "application/problem+json"
                assert list(response["content"]) == [wanted], (path, method, status)


def test_routes_of_the_api_name_the_credentials_and_what_can_go_wrong() -> None:
    schemes = DOCUMENT["components"]["securitySchemes"]
    assert (schemes["bearer"]["scheme"], schemes["session"]["in"]) == ("bearer", "cookie")
    for path, method, operation in operations():
        if not path.startswith("/api/"):
            continue
        wanted = {"400", "413", "415"} if "requestBody" in operation else set()
        is_open = operation["operationId"] in OPEN
        assert ("security" in operation) != is_open, (path, method)
        if not is_open:
            needed = operation["x-hookline-permission"]
            assert operation["security"] == [{name: [needed] if needed else []} for name in schemes], (path, method)
            wanted |= {"401", "403", "422"}
        assert wanted | {"429", "503"} <= set(operation["responses"]), (path, method)


def test_bodies_of_requests_have_examples_that_hold() -> None:
    for path, method, operation in operations():
        if "requestBody" not in operation:
            continue
        content = operation["requestBody"]["content"].get("application/json")
        if content is None:  # a form of the OAuth server's, as its RFC has it, or lines
            assert path.startswith("/oauth/") or list(operation["requestBody"]["content"]) == ["application/x-ndjson"]
            continue
        schema = {**content["schema"], "components": DOCUMENT["components"]}
        kinds = content["schema"].get("anyOf", [content["schema"]])  # a body that may be left out is one or null
        names = [str(kind.get("$ref", "")).rpartition("/")[2] for kind in kinds]
        examples = [
            example for name in names for example in DOCUMENT["components"]["schemas"].get(name, {}).get("examples", [])
        ]
        examples += [each["value"] for each in content.get("examples", {}).values()]
        examples += [content["example"]] if "example" in content else []
        assert examples, (path, method)
        validator = jsonschema_rs.Draft202012Validator(schema)
        for example in examples:
            validator.validate(example)


@pytest.mark.parametrize("name", catalogue())
def test_a_webhook_is_described_as_it_is_sent(name: str) -> None:
    """Every event type's example, on the way that every event goes, is what the description says."""
    operation = DOCUMENT["webhooks"][name]["post"]
    content = operation["requestBody"]["content"]["application/json"]
    validator = jsonschema_rs.Draft202012Validator(content["schema"])
    validator.validate(content["example"])
    event = new_event(type=name, organization_id="org_1", data=dict(catalogue()[name].example), previous={"a": 1})
    sent = orjson.loads(body_of(event))
    validator.validate(sent)
    assert not validator.is_valid({**sent, "type": "no.such"})
    headers = {parameter["$ref"].rpartition("/")[2] for parameter in operation["parameters"]}
    assert headers == {"webhook-id", "webhook-timestamp", "webhook-signature", "hookline-replay"}
    assert headers == set(DOCUMENT["components"]["parameters"])


def test_a_deprecated_type_says_so_and_what_nobody_can_publish_is_not_described() -> None:
    types = {state: replace(catalogue()["user.created"], name=f"user.{state}", state=state) for state in EventTypeState}
    described = webhooks(types.values())
    assert set(described) == {"user.active", "user.deprecated"}
    assert {name: operation["post"].get("deprecated") for name, operation in described.items()} == {
        "user.active": None,
        "user.deprecated": True,
    }


def test_what_is_personal_or_secret_is_marked() -> None:
    content = DOCUMENT["webhooks"]["user.password_reset_requested"]["post"]["requestBody"]["content"]
    properties = content["application/json"]["schema"]["properties"]["data"]["properties"]
    assert {name: each.get("x-hookline-sensitivity") for name, each in properties.items()} == {
        "id": None, "email": "personal", "ip_address": "personal", "reset_link": "secret", "expires_at": None
    }  # fmt: skip
