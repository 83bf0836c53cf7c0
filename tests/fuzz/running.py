"""A whole run: a server, an organization with things in it, requests."""

import asyncio
import json
from uuid import uuid4

import httpx

from api.migrations import upgrade
from compose.openapi import description
from producers.settings import KafkaSettings
from schemas import topics
from tests.api.conftest import TOKEN, settings_of
from tests.api.isolation.things import things_of
from tests.api.reading import ensure_topic
from tests.fuzz.calling import Headers, callers_of
from tests.fuzz.driving import Findings, Progress, fuzz
from tests.fuzz.seeding import Ids
from tests.fuzz.serving import served

# What an id in a path names, by the part before it, as `tests/api/isolation/things.py` calls it.
COLLECTIONS = {
    "api-tokens": "token", "applications": "application", "deliveries": "delivery", "event-types": "event_type",
    "events": "event", "invitations": "invitation", "jobs": "replay", "members": "member",
    "organizations": "organization", "quarantine": "quarantine", "replays": "replay", "roles": "role",
    "subscriptions": "subscription", "users": "user",
}  # fmt: skip
TOPICS = [topics.EVENTS, topics.DELIVER, topics.REPLAY]


def run(database_url: str, bootstrap: str, *, inputs: int, seed_: int, progress: Progress = lambda _: None) -> Findings:
    """Fuzz the API on this database, which is upgraded first, and this Kafka."""
    asyncio.run(upgrade(database_url))
    for topic in TOPICS:
        ensure_topic(bootstrap, topic)
    organization_id = f"org_{uuid4().hex}"
    headers = {"Authorization": f"Bearer {TOKEN}", "Hookline-Organization": organization_id}
    with served(settings_of(database_url), KafkaSettings(bootstrap_servers=bootstrap)) as url:

        def find() -> tuple[Ids, dict[str, Headers]]:
            async def seeding() -> tuple[Ids, dict[str, Headers]]:
                async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=30) as api:
                    things = (await things_of(api, database_url)).ids
                    ids = {collection: [things[name]] for collection, name in COLLECTIONS.items()}
                    return ids, await callers_of(api, database_url)

            return asyncio.run(seeding())

        return fuzz(
            url,
            json.loads(description()),
            inputs=inputs,
            seed=seed_,
            find=find,
            progress=progress,
        )
