"""Requests made from the API's own description, what it allows and what it forbids: `make fuzz`."""
