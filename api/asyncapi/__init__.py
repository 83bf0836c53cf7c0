"""The AsyncAPI 3.0 description: what Hookline reads from Kafka and sends to receivers, by event type.

https://www.asyncapi.com/docs/reference/specification/v3.0.0
"""
