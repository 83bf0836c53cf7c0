"""The description of the API, and the start with another master key."""

import base64

import httpx
import pytest
from pydantic import SecretStr

from producers.secret_settings import UnfitSettings
from tests.api.conftest import client_of, settings_of


async def test_the_description_is_openapi_3_1_with_stable_names(bare_api: httpx.AsyncClient) -> None:
    document = (await bare_api.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    names = {operation["operationId"] for path in document["paths"].values() for operation in path.values()}
    assert names == {
        "create_subscription",
        "list_subscriptions",
        "get_subscription",
        "change_subscription",
        "delete_subscription",
        "publish_event",
        "list_events",
        "get_event",
        "list_deliveries",
        "list_deliveries_of_subscription",
        "get_delivery",
        "get_stats",
        "get_stats_of_subscription",
        "list_quarantine",
        "get_quarantined",
        "retry_quarantined",
        "list_event_types",
        "get_event_type",
        "healthz",
        "readyz",
        "metrics",
    }


async def test_the_description_names_problem_documents_and_nothing_of_fastapis(bare_api: httpx.AsyncClient) -> None:
    document = (await bare_api.get("/openapi.json")).json()
    schemas = document["components"]["schemas"]
    assert "Problem" in schemas
    assert "HTTPValidationError" not in schemas
    for path in document["paths"].values():
        for operation in path.values():
            for status, response in operation["responses"].items():
                if int(status) >= 400 and operation["operationId"] != "readyz":
                    assert list(response["content"]) == ["application/problem+json"]


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
