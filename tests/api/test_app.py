"""The start with another master key."""

import base64

import pytest
from pydantic import SecretStr

from producers.secret_settings import UnfitSettings
from tests.api.conftest import client_of, settings_of


@pytest.mark.postgres
async def test_another_master_key_than_the_one_that_sealed_refuses_to_start(upgraded_url: str) -> None:
    async with client_of(settings_of(upgraded_url)) as api:
        made = await api.post("/api/v1/subscriptions", json={"url": "https://93.184.216.34/", "event_types": ["*"]})
        assert made.status_code == 201
    other = SecretStr(f"k1:{base64.b64encode(bytes(31) + b'x').decode()}")
    with pytest.raises(UnfitSettings, match="HOOKLINE_MASTER_KEYS"):
        async with client_of(settings_of(upgraded_url, master_keys=other)):
            raise AssertionError("it started")
    async with client_of(settings_of(upgraded_url)):
        pass
