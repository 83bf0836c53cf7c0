"""The AsyncAPI description: whole, of the catalogue, and as the committed copy has it.

`make verifiers` holds it to the AsyncAPI 3.0 JSON Schema, which comes from npm.
"""

import json
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import orjson
import pytest
import yaml

from api.asyncapi.document import as_yaml, asyncapi_document
from api.asyncapi.routes import VERSION, description
from api.webhooks import EVENT_ID
from compose.copies import DescriptionDiffers, check_same
from schemas.catalogue import EventTypeState, catalogue
from schemas.cloudevents.headers import from_kafka
from schemas.cloudevents.mapping import event_of
from schemas.codec import decode, encode
from schemas.errors import InvalidInput
from schemas.headers import event_headers
from schemas.records import Event
from tests.schemas.drawn import plain

COPY = Path(__file__).parents[3] / "docs" / "asyncapi.yaml"


def loaded(text: str) -> Any:
    """Return what YAML says; libyaml's loader, which is safe as well, takes a tenth of the other's time."""
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


DOCUMENT: dict[str, Any] = loaded(COPY.read_text())  # the first test holds it to what the code says
MESSAGES: dict[str, Any] = DOCUMENT["components"]["messages"]
KINDS = {"events": ["event"], "cloudevents": ["structured", "binary"], "webhooks": ["webhook"]}
every_type = pytest.mark.parametrize("name", catalogue())


def test_the_committed_copy_is_what_the_code_says() -> None:
    check_same(COPY, description(), target="openapi")


def test_a_copy_that_differs_is_told_where_and_what_to_do(tmp_path: Path) -> None:
    copy = tmp_path / "asyncapi.yaml"
    copy.write_text(description().replace("title: Hookline", "title: Another"))
    with pytest.raises(DescriptionDiffers, match=r"(?s)run `make openapi`.*-  title: Another"):
        check_same(copy, description(), target="openapi")


async def test_it_is_open_as_openapi_is(bare_api: httpx.AsyncClient) -> None:
    answer = await bare_api.get("/asyncapi.yaml", headers={"Authorization": ""})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/yaml")
    assert answer.text == description()


def test_every_name_in_it_leads_somewhere() -> None:
    found = set(re.findall(r'"\$ref": "([^"]+)"', json.dumps(DOCUMENT)))
    assert len(found) > 4 * len(catalogue())
    for reference in found:
        assert referred(reference) is not None


def referred(reference: str) -> Any:
    found: Any = DOCUMENT
    start, *parts = reference.split("/")
    assert start == "#"
    for part in parts:
        found = found[part]
    return found


def test_it_has_what_is_read_and_what_is_sent() -> None:
    assert (DOCUMENT["asyncapi"], DOCUMENT["info"]["version"]) == ("3.0.0", VERSION)
    channels = DOCUMENT["channels"]
    assert {name: each["address"] for name, each in channels.items()} == {
        "events": "hookline.events",
        "cloudevents": "hookline.cloudevents",
        "webhooks": None,
    }
    actions = {each["channel"]["$ref"].rpartition("/")[2]: each["action"] for each in DOCUMENT["operations"].values()}
    assert actions == {"events": "receive", "cloudevents": "receive", "webhooks": "send"}
    bound = {name: each.get("bindings", {}).get("kafka", {}).get("topic") for name, each in channels.items()}
    assert bound == {"events": "hookline.events", "cloudevents": "hookline.cloudevents", "webhooks": None}
    assert DOCUMENT["operations"]["sendWebhooks"]["bindings"]["http"]["method"] == "POST"


@every_type
def test_every_type_is_in_every_channel_with_its_schemas(name: str) -> None:
    for channel, kinds in KINDS.items():
        keys = [name] if len(kinds) == 1 else [f"{name}.{kind}" for kind in kinds]
        for key, kind in zip(keys, kinds, strict=True):
            reference = DOCUMENT["channels"][channel]["messages"][key]["$ref"]
            assert referred(reference) is MESSAGES[f"{name}.{kind}"]
            assert MESSAGES[f"{name}.{kind}"]["tags"] == [{"name": catalogue()[name].category}]
    avro = referred(MESSAGES[f"{name}.event"]["x-hookline-data"]["$ref"])
    assert avro["schemaFormat"].startswith("application/vnd.apache.avro;version=")
    assert avro["schema"]["fields"] == catalogue()[name].schema["fields"]
    assert set(avro["schema"]) == {"type", "name", "namespace", "doc", "fields"}  # the catalogue's own are not Avro's


@every_type
def test_its_examples_are_what_its_schemas_say(name: str) -> None:
    """And what is published: a record of `hookline.events` is one, a webhook's body is that of its data."""
    for kind in ("structured", "binary", "webhook"):
        message = MESSAGES[f"{name}.{kind}"]
        for example in message["examples"]:
            validator_of(message["payload"]).validate(example["payload"])
            headers = referred(message["traits"][0]["$ref"])["headers"]
            validator_of(headers).validate(example["headers"])
    (written,) = MESSAGES[f"{name}.event"]["examples"]
    payload = written["payload"]
    data = orjson.loads(payload["data"])
    catalogue()[name].check(data)
    assert MESSAGES[f"{name}.webhook"]["examples"][0]["payload"]["data"] == data
    assert payload["id"] == EVENT_ID


def validator_of(schema: dict[str, Any]) -> jsonschema_rs.Draft7Validator:
    return jsonschema_rs.Draft7Validator({**schema, "components": DOCUMENT["components"]})


@every_type
def test_its_cloudevents_are_read_as_what_they_say(name: str) -> None:
    """In both modes, by what reads the topic; what Hookline alone publishes is refused, and not for its shape."""
    for kind in ("structured", "binary"):
        example = MESSAGES[f"{name}.{kind}"]["examples"][0]
        headers = [(header, value.encode()) for header, value in example["headers"].items()]
        cloud = from_kafka(headers, orjson.dumps(example["payload"]))
        if catalogue()[name].reserved:
            with pytest.raises(InvalidInput, match="published by Hookline alone"):
                event_of(cloud)
        else:
            event = event_of(cloud)
            assert (event.type, event.organization_id, event.source) == (name, "org_default", "/billing")
            assert orjson.loads(event.data) == catalogue()[name].example


def test_a_cloudevent_of_another_shape_is_none() -> None:
    message = MESSAGES["user.created.structured"]
    validator, example = validator_of(message["payload"]), message["examples"][0]["payload"]
    changes: list[dict[str, Any]] = [
        {"type": "user.deleted"},
        {"data": {}},
        {"data": {"id": 1}},
        {"specversion": "0.3"},
    ]
    for change in changes:
        assert not validator.is_valid({**example, **change}), change
    for name in ("id", "source", "organizationid", "data"):
        assert not validator.is_valid({each: value for each, value in example.items() if each != name}), name


def test_the_record_is_the_one_that_is_written() -> None:
    event = plain(Event)
    assert decode(Event, encode(event)) == event
    schema = DOCUMENT["components"]["schemas"]["Event"]["schema"]
    example = MESSAGES["user.created.event"]["examples"][0]
    assert (
        set(example["payload"])
        == {field["name"] for field in schema["fields"]}
        == {each.name for each in fields(Event)}
    )
    written = {name for name, _ in event_headers(event, source="/x", traceparent="x")}
    assert set(DOCUMENT["components"]["schemas"]["EventHeaders"]["properties"]) == written


def test_deprecated_types_say_so_and_what_nobody_can_publish_is_not_there() -> None:
    types = [replace(catalogue()["user.created"], name=f"user.{state}", state=state) for state in EventTypeState]
    document = asyncapi_document("1", types)
    assert set(document["channels"]["events"]["messages"]) == {"user.active", "user.deprecated"}
    assert document["components"]["schemas"]["user.deprecated"]["deprecated"] is True
    assert {"name": "deprecated"} in document["components"]["messages"]["user.deprecated.webhook"]["tags"]
    assert "deprecated" not in document["components"]["schemas"]["user.active"]


def test_marks_are_in_both_kinds_of_schema() -> None:
    shapes = DOCUMENT["components"]["schemas"]
    assert shapes["user.created"]["properties"]["email"]["x-hookline-sensitivity"] == "personal"
    (email,) = [each for each in shapes["user.created.avro"]["schema"]["fields"] if each["name"] == "email"]
    assert email["sensitivity"] == "personal"


def test_yaml_says_the_same_as_the_document_and_refers_to_nothing_of_its_own() -> None:
    document = asyncapi_document("1")
    text = as_yaml(document)
    assert loaded(text) == document
    assert not re.search(r"(?m)[:-] [&*]id\d+", text)
