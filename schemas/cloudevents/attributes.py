"""What a CloudEvent is: its attributes, checked (CloudEvents 1.0.2, 3), and its data, which must be JSON here."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, TypeGuard

from schemas.errors import InvalidInput
from schemas.json_values import Json, escaped

SPEC_VERSION: Final = "1.0"
STRUCTURED: Final = "application/cloudevents+json"
BATCH: Final = "application/cloudevents-batch+json"
LONGEST_SOURCE: Final = 1024  # characters
_LONGEST_NAME: Final = 100  # of an attribute; the specification asks for no more than 20
_NAME: Final = re.compile(r"[a-z0-9]+")
_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:Z|[+-][0-9]{2}:[0-9]{2})"
)
_NOT_IN_A_URI: Final = re.compile(r"[\s\x00-\x20\x7f]")
_PASSWORD: Final = re.compile(r"//[^/?#]*:[^/?#]*@")
_INTEGER: Final = range(-(1 << 31), 1 << 31)  # CloudEvents' type Integer

Attribute = str | int | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudEvent:
    """A CloudEvent of version 1.0 whose data is JSON; None: it has none. `time` is in UTC."""

    id: str
    source: str
    type: str
    subject: str | None = None
    time: datetime | None = None
    dataschema: str | None = None
    extensions: Mapping[str, Attribute] = field(default_factory=dict)
    data: Json = None


def cloud_event(attributes: Mapping[str, Json], data: Json) -> CloudEvent:
    """Return the CloudEvent of these attributes, by their names; a null one is as good as absent.

    Raises InvalidInput, its pointer naming the attribute. `datacontenttype` is for whoever reads the data.
    """
    given = {name: value for name, value in attributes.items() if value is not None}
    for name in given:
        if not is_attribute_name(name):
            raise InvalidInput(
                f"attributes are named in 1 to {_LONGEST_NAME} lower-case letters and digits:"
                " rename it, or put it into data",
                pointer=f"/{escaped(name)}",
            )
    if "data" in given:
        raise InvalidInput("no attribute may be called so", pointer="/data")
    version = _text(given, "specversion")
    if version != SPEC_VERSION:
        raise InvalidInput(f"only CloudEvents {SPEC_VERSION} are taken", pointer="/specversion")
    return CloudEvent(
        id=_text(given, "id"),
        source=_checked_source(_text(given, "source")),
        type=_text(given, "type"),
        subject=_text(given, "subject") if "subject" in given else None,
        time=_time_of(_text(given, "time")) if "time" in given else None,
        dataschema=_text(given, "dataschema") if "dataschema" in given else None,
        extensions={name: _extension(name, value) for name, value in given.items() if name not in _NAMED},
        data=data,
    )


_NAMED: Final = frozenset({"specversion", "id", "source", "type", "subject", "time", "dataschema", "datacontenttype"})


def is_attribute_name(name: str) -> bool:
    """Return whether an attribute may be called so: 1 to 100 lower-case letters and digits."""
    return len(name) <= _LONGEST_NAME and _NAME.fullmatch(name) is not None


def is_attribute(value: Json) -> TypeGuard[Attribute]:
    """Return whether an extension may have this value: text, true, false or a whole number of 32 bits."""
    return isinstance(value, str | bool) or (isinstance(value, int) and value in _INTEGER)


@lru_cache(maxsize=256)
def is_json_type(content_type: str) -> bool:
    """Return whether a media type says JSON in UTF-8: application/json, or any type that ends in +json (RFC 6839)."""
    media_type, _, parameters = content_type.partition(";")
    media_type = media_type.strip().lower()
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset" and value.strip().strip('"').lower() not in {"utf-8", "us-ascii"}:
            return False
    return media_type == "application/json" or (media_type.endswith("+json") and "/" in media_type)


def check_data_type(content_type: Json) -> None:
    """Raise InvalidInput unless a `datacontenttype` is JSON; None is (JSON format 1.0.2, 3.1)."""
    if content_type is None:
        return
    if not isinstance(content_type, str) or not is_json_type(content_type):
        raise InvalidInput("data must be JSON in UTF-8: send application/json", pointer="/datacontenttype")


def time_text(moment: datetime) -> str:
    """Return a time as CloudEvents write it: RFC 3339, in UTC."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _text(given: Mapping[str, Json], name: str) -> str:
    value = given.get(name)
    if value is None:
        raise InvalidInput("is missing; every CloudEvent has one", pointer=f"/{name}")
    if not isinstance(value, str) or not value:
        raise InvalidInput("must be text that is not empty", pointer=f"/{name}")
    return value


def _checked_source(source: str) -> str:
    if len(source) > LONGEST_SOURCE or _NOT_IN_A_URI.search(source) or not _is_utf8(source):
        raise InvalidInput(
            f"must be a URI reference of at most {LONGEST_SOURCE} characters, such as /orders: percent-encode blanks",
            pointer="/source",
        )
    if _PASSWORD.search(source):
        raise InvalidInput("holds a password: leave it out, everybody who reads the event sees it", pointer="/source")
    return source


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _time_of(text: str) -> datetime:
    if _TIME.fullmatch(text.upper()):
        try:
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    raise InvalidInput(
        "must be a time as RFC 3339 writes it, with its offset, such as 2026-01-31T12:00:00Z", pointer="/time"
    )


def _extension(name: str, value: Json) -> Attribute:
    if is_attribute(value):
        return value
    raise InvalidInput(
        "must be text, true, false or a whole number of 32 bits: put anything else into data", pointer=f"/{name}"
    )
