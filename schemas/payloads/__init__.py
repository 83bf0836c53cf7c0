"""How an event looks to a subscription: which envelope, which fields, what is masked. Never the URL or the method."""

from schemas.payloads.payload import FULL, Payload, Shape, checked_payload, payload_of
from schemas.payloads.source import PayloadSource

__all__ = ["FULL", "Payload", "PayloadSource", "Shape", "checked_payload", "payload_of"]
