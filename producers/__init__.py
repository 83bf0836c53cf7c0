"""What puts records on topics. A service that publishes events needs only this: `from producers import Publisher`."""

from producers.publisher import Publisher, Receipt

__all__ = ["Publisher", "Receipt"]
