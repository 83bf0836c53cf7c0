"""CloudEvents beside their data: binary mode, attributes in the headers of a Kafka record or an HTTP request.

Kafka protocol binding 1.0.2, 3.2: `ce_` and UTF-8. HTTP protocol binding 1.0.2, 3.1: `ce-` and percent-encoding.
"""

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote, unquote_to_bytes

import orjson

from schemas.cloudevents.attributes import SPEC_VERSION, Attribute, CloudEvent, check_data_type, cloud_event, time_text
from schemas.cloudevents.json_format import structured_in
from schemas.errors import InvalidInput
from schemas.headers import Headers
from schemas.json_reading import parsed
from schemas.json_values import Json, escaped

IN_KAFKA: Final = "ce_"
IN_HTTP: Final = "ce-"
CONTENT_TYPE: Final = "content-type"
_STRUCTURED_BEGIN: Final = "application/cloudevents"
_BATCH_BEGIN: Final = "application/cloudevents-batch"
_REQUIRED: Final = frozenset({"specversion", "id", "source", "type"})
_QUOTED_PAIR: Final = re.compile(r"\\(.)")
# Every printable ASCII character but blank, quote and percent stays as it is (3.1.3.2).
_KEPT: Final = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')


def from_kafka(headers: Headers, value: bytes | None) -> CloudEvent:
    """Return the CloudEvent in a record, in either mode; raises InvalidInput.

    `content-type: application/cloudevents+json` says structured, as does a record without any `ce_` header, for clients
    that write no headers at all.
    """
    content_type = _only(headers, CONTENT_TYPE)
    if content_type is not None and content_type.lower().startswith(_STRUCTURED_BEGIN):
        _check_structured_type(content_type)
    elif any(name.startswith(IN_KAFKA) for name, _ in headers):
        attributes = _attributes((name, raw) for name, raw in headers if name.startswith(IN_KAFKA))
        texts: dict[str, Json] = {name: _utf8(raw, name) for name, raw in attributes.items()}
        return _binary(texts, content_type, value or b"")
    return structured_in(value or b"")


def is_binary_http(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Return whether a request's headers (names in lower case) hold one of the attributes that all CloudEvents have."""
    return any(name[3:].decode("latin-1") in _REQUIRED for name, _ in headers if name.startswith(b"ce-"))


def from_http(headers: Iterable[tuple[bytes, bytes]], data: Json) -> CloudEvent:
    """Return the CloudEvent of a request in binary mode whose body, already read, holds `data`; raises InvalidInput.

    `headers` are as ASGI has them, names in lower case. The body's media type is for whoever read it.
    """
    named = ((name.decode("latin-1"), value) for name, value in headers if name.startswith(b"ce-"))
    attributes = _attributes(named)
    return cloud_event({name: _decoded(raw, name) for name, raw in attributes.items()}, data)


def to_kafka(event: CloudEvent) -> tuple[Headers, bytes | None]:
    """Return a CloudEvent as headers and value of a record in binary mode."""
    headers = [(IN_KAFKA + name, text.encode()) for name, text in _texts(event).items()]
    if event.data is None:
        return headers, None
    return [*headers, (CONTENT_TYPE, b"application/json")], orjson.dumps(event.data)


def to_http(event: CloudEvent) -> tuple[dict[str, str], bytes]:
    """Return a CloudEvent as headers and body of a request in binary mode."""
    headers = {IN_HTTP + name: quote(text, safe=_KEPT) for name, text in _texts(event).items()}
    if event.data is None:
        return headers, b""
    return {**headers, CONTENT_TYPE: "application/json"}, orjson.dumps(event.data)


def _binary(attributes: dict[str, Json], content_type: str | None, raw: bytes) -> CloudEvent:
    check_data_type(content_type)
    try:
        data = parsed(raw) if raw else None
    except InvalidInput as error:
        raise InvalidInput(error.detail, pointer="/data") from None
    return cloud_event(attributes, data)


def _check_structured_type(content_type: str) -> None:
    if content_type.lower().startswith(_BATCH_BEGIN):
        raise InvalidInput("a Kafka record holds one CloudEvent: write a record for each of the batch")
    check_data_type(content_type)


def _attributes(headers: Iterable[tuple[str, bytes]]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for name, value in headers:
        attribute = name[3:]
        if attribute in found:
            raise InvalidInput(f"the header {name} is there twice", pointer=f"/{escaped(attribute)}")
        found[attribute] = value
    return found


def _only(headers: Headers, wanted: str) -> str | None:
    found = [value for name, value in headers if name.lower() == wanted]
    return found[0].decode("latin-1") if found else None


def _utf8(raw: bytes, name: str) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise InvalidInput("its header is not UTF-8", pointer=f"/{escaped(name)}") from None


def _decoded(raw: bytes, name: str) -> str:
    text = _utf8(raw, name).strip(" \t")
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = _QUOTED_PAIR.sub(r"\1", text[1:-1])  # a quoted string (RFC 9110, 5.6.4)
    return _utf8(unquote_to_bytes(text), name)


def _texts(event: CloudEvent) -> dict[str, str]:
    optional = {
        "subject": event.subject,
        "time": None if event.time is None else time_text(event.time),
        "dataschema": event.dataschema,
    }
    return {
        "specversion": SPEC_VERSION,
        "id": event.id,
        "source": event.source,
        "type": event.type,
        **{name: text for name, text in optional.items() if text is not None},
        **{name: _text_of(value) for name, value in event.extensions.items()},
    }


def _text_of(value: Attribute) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
