"""Readiness names what is missing, answers quickly, and asks at most once a second."""

import asyncio
import time

import httpx
import pytest

from api.readiness import TIMEOUT_S
from producers.settings import KafkaSettings
from tests.api.conftest import client_of, settings_of
from tests.api.running import NO_KAFKA
from tests.machine import SLOW_MACHINE_S


async def ready(api: httpx.AsyncClient) -> tuple[int, dict[str, bool]]:
    response = await api.get("/readyz", headers={"Authorization": ""})  # nobody in particular may ask
    checks = {name: check["ok"] for name, check in response.json()["checks"].items()}
    return response.status_code, checks


@pytest.mark.postgres
@pytest.mark.kafka
async def test_all_is_there(upgraded_url: str, kafka_with_events: KafkaSettings) -> None:
    async with client_of(settings_of(upgraded_url), kafka_with_events) as api:
        assert await ready(api) == (200, {"database": True, "migrations": True, "kafka": True})


@pytest.mark.postgres
@pytest.mark.kafka
async def test_a_database_without_migrations_is_not_ready(database_url: str, kafka_with_events: KafkaSettings) -> None:
    async with client_of(settings_of(database_url), kafka_with_events) as api:
        assert await ready(api) == (503, {"database": True, "migrations": False, "kafka": True})


@pytest.mark.postgres
async def test_kafka_away_is_named_within_two_seconds(upgraded_url: str) -> None:
    async with client_of(settings_of(upgraded_url), NO_KAFKA) as api:
        started = time.monotonic()
        assert await ready(api) == (503, {"database": True, "migrations": True, "kafka": False})
        assert time.monotonic() - started < TIMEOUT_S + SLOW_MACHINE_S


async def test_many_who_ask_cost_one_look_and_health_does_not_wait(bare_api: httpx.AsyncClient) -> None:
    started = time.monotonic()
    asking = asyncio.gather(*(ready(bare_api) for _ in range(20)))
    assert (await bare_api.get("/healthz")).json() == {"status": "ok"}
    assert not asking.done()
    assert set(map(str, await asking)) == {str((503, {"database": False, "migrations": False, "kafka": False}))}
    assert time.monotonic() - started < TIMEOUT_S + SLOW_MACHINE_S  # twenty looks would take 40 s


async def test_a_failed_check_says_nothing_about_credentials(bare_api: httpx.AsyncClient) -> None:
    assert "nobody@" not in (await bare_api.get("/readyz")).text
