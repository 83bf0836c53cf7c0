"""CloudEvents 1.0 (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md) to our events, and back.

`attributes.py` says what a CloudEvent is, `json_format.py` and `headers.py` how it is written, `mapping.py` which event
it makes. All pure; what does not hold is InvalidInput.
"""
