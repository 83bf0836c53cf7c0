"""What puts records on topics. A service that publishes events needs only this: `from producers import Publisher`."""

from producers.async_publisher import AsyncPublisher
from producers.making import EventFields
from producers.publisher import Publisher
from producers.receipts import Receipt

__all__ = ["AsyncPublisher", "EventFields", "Publisher", "Receipt"]
