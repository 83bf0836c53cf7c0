"""Examples of messages, for an event type's example of data."""

from datetime import datetime
from typing import Final

from api.asyncapi.records import STRUCTURED, Described
from api.webhooks import CREATED_AT, EVENT_ID, PARAMETERS
from schemas.headers import ORGANIZATION, TRACEPARENT, microseconds_of

_ORGANIZATION_ID: Final = "org_default"
_SOURCE: Final = "/billing"
_SOURCE_ID: Final = "7c9e6679"
_TRACE: Final = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
_MOMENT: Final = microseconds_of(datetime.fromisoformat(CREATED_AT))


def event_example(name: str, data: str) -> Described:
    """Return a record on `hookline.events`, as Avro's JSON encoding writes it without its unions."""
    return {
        "headers": {
            "ce_specversion": "1.0", "ce_id": EVENT_ID, "ce_type": name, "ce_source": _SOURCE, "ce_time": CREATED_AT,
            ORGANIZATION: _ORGANIZATION_ID,
        },
        "payload": {
            "id": EVENT_ID, "type": name, "organization_id": _ORGANIZATION_ID, "created_at": _MOMENT,
            "data": data, "key": None, "previous": None, "metadata": None, "source_id": None, "source": None,
        },
    }  # fmt: skip


def structured_example(name: str, data: Described) -> Described:
    """Return a CloudEvent in structured mode."""
    return {
        "headers": {"content-type": STRUCTURED},
        "payload": {
            "specversion": "1.0", "id": _SOURCE_ID, "source": _SOURCE, "type": name, "time": CREATED_AT,
            "organizationid": _ORGANIZATION_ID, "datacontenttype": "application/json", "data": data,
        },
    }  # fmt: skip


def binary_example(name: str, data: Described) -> Described:
    """Return a CloudEvent in binary mode."""
    return {
        "headers": {
            "ce_specversion": "1.0", "ce_id": _SOURCE_ID, "ce_source": _SOURCE, "ce_type": name, "ce_time": CREATED_AT,
            "ce_organizationid": _ORGANIZATION_ID, "content-type": "application/json", TRACEPARENT: _TRACE,
        },
        "payload": data,
    }  # fmt: skip


def webhook_headers_example() -> Described:
    """Return the headers of a request."""
    return {name: each["schema"]["examples"][0] for name, each in PARAMETERS.items() if each["required"]}
