"""POST /events with a key: one event, whichever way its answer was lost."""

import httpx
import pytest

from producers.settings import KafkaSettings
from schemas.codec import decode
from schemas.records import Event
from schemas.topics import EVENTS
from tests.api.conftest import client_of, settings_of
from tests.api.problem import problem_of
from tests.api.reading import reading_from_now

pytestmark = pytest.mark.postgres

PATH = "/api/v1/events"
BODY = {"type": "user.created", "data": {"id": "user_123"}}
KEY = {"Idempotency-Key": "their-key", "Hookline-Organization": "org_events_once"}


@pytest.mark.kafka
async def test_a_repeat_publishes_no_second_event(
    upgraded_url: str, bootstrap: str, kafka_with_events: KafkaSettings
) -> None:
    with reading_from_now(bootstrap, EVENTS) as consumer:
        async with client_of(settings_of(upgraded_url), kafka_with_events) as api:
            first, again = [await api.post(PATH, json=BODY, headers=KEY) for _ in range(2)]
        message = consumer.poll(10)
        assert message is not None
        assert first.json() == again.json() == {"id": decode(Event, message.value()).id}
        assert (first.status_code, again.status_code) == (202, 202)
        assert consumer.poll(0.5) is None


async def test_a_key_is_free_again_when_kafka_was_away(api: httpx.AsyncClient) -> None:
    for _ in range(2):
        problem_of(await api.post(PATH, json=BODY, headers=KEY), 503)  # and not 409
