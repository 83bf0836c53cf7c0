"""Enabling, disabling and rotating by name."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from schemas.records import Subscription
from schemas.sealing import SECRET_PURPOSE
from schemas.signing import key_of
from tests.api.problem import pointers_of, problem_of
from tests.api.subscriptions.making import ELSEWHERE, PATH, SEALER, UNKNOWN, made, outbox_of, rows_of

pytestmark = pytest.mark.postgres

ACTIONS = ("enable", "disable", "pause", "rotate-secret")
OWN = "whsec_" + "AAAA" * 8


async def test_disabling_and_enabling_are_a_version_each_and_twice_is_once(
    api: httpx.AsyncClient, shared_url: str
) -> None:
    at = f"{PATH}/{(await made(api))['id']}"
    for action, state, version in (("disable", "disabled", 2), ("enable", "enabled", 3)):
        for _ in range(2):
            response = await api.post(f"{at}/{action}")
            assert response.status_code == 200, response.text
            body = response.json()
            assert (body["state"], body["enabled"], body["version"]) == (state, state == "enabled", version)
            assert (body["disabled_reason"], body["disabled_at"] is None) == (
                ("manual", False) if state == "disabled" else (None, True)
            )
            assert response.headers["etag"] == f'"{version}"'
    records = await outbox_of(shared_url, at.rpartition("/")[2])
    assert [record and record.enabled for record in records] == [True, False, True]


async def test_disabling_by_hand_keeps_the_reason_that_is_there(api: httpx.AsyncClient, shared_url: str) -> None:
    body = await made(api, enabled=False)
    await rows_of(shared_url, "UPDATE subscriptions SET disabled_reason = 'gone' WHERE id = $1", body["id"])
    assert (await api.post(f"{PATH}/{body['id']}/disable")).json()["disabled_reason"] == "gone"


@pytest.mark.parametrize("action", ACTIONS)
async def test_what_is_not_there_or_anothers_is_404_and_an_old_version_412(
    api: httpx.AsyncClient, shared_url: str, action: str
) -> None:
    body = await made(api, enabled=action == "disable")
    for path in (UNKNOWN, "nope", "%00"):
        problem_of(await api.post(f"{PATH}/{path}/{action}"), 404)
    problem_of(await api.post(f"{PATH}/{body['id']}/{action}", headers=ELSEWHERE), 404)
    problem_of(await api.post(f"{PATH}/{body['id']}/{action}", headers={"If-Match": '"7"'}), 412)
    assert len(await outbox_of(shared_url, body["id"])) == 1
    assert (await api.post(f"{PATH}/{body['id']}/{action}", headers={"If-Match": '"1"'})).json()["version"] == 2


async def rotated(api: httpx.AsyncClient, subscription_id: str, **fields: object) -> str:
    response = await api.post(f"{PATH}/{subscription_id}/rotate-secret", json=fields)
    assert response.status_code == 200, response.text
    secret: str = response.json()["secret"]
    return secret


def keys_of(record: Subscription | None) -> list[bytes]:
    assert record is not None
    assert len(record.secrets) == len(record.secrets_expire_at)
    place: dict[str, Any] = {"organization": record.organization_id, "row": record.id, "purpose": SECRET_PURPOSE}
    return [SEALER.open(secret, **place) for secret in record.secrets]


async def last_of(url: str, subscription_id: str) -> Subscription:
    record = (await outbox_of(url, subscription_id))[-1]
    assert record is not None
    return record


async def test_the_new_secret_comes_first_and_the_old_one_ends_after_a_day(
    api: httpx.AsyncClient, shared_url: str
) -> None:
    body = await made(api)
    response = await api.post(f"{PATH}/{body['id']}/rotate-secret")  # no body at all
    assert response.status_code == 200, response.text
    assert response.headers["etag"] == '"2"'
    new = response.json()["secret"]
    assert new != body["secret"]
    record = await last_of(shared_url, body["id"])
    assert keys_of(record) == [key_of(new), key_of(body["secret"])]
    first, second = record.secrets_expire_at
    assert first is None
    assert second is not None
    assert abs(second - datetime.now(UTC) - timedelta(hours=24)) < timedelta(minutes=1)
    shown = await api.get(f"{PATH}/{body['id']}")
    assert new not in shown.text
    assert "secret" not in shown.json()


@pytest.mark.parametrize("overlap", ["0s", "0ms", "00d"])
async def test_without_an_overlap_the_old_one_stops_at_once(
    api: httpx.AsyncClient, shared_url: str, overlap: str
) -> None:
    body = await made(api)
    new = await rotated(api, body["id"], overlap=overlap)
    assert keys_of(await last_of(shared_url, body["id"])) == [key_of(new)]


async def test_a_later_rotation_lengthens_no_secrets_life(api: httpx.AsyncClient, shared_url: str) -> None:
    body = await made(api)
    await rotated(api, body["id"], overlap="1h")
    before = (await last_of(shared_url, body["id"])).secrets_expire_at[1]
    await rotated(api, body["id"], overlap="7d")
    after = (await last_of(shared_url, body["id"])).secrets_expire_at
    assert after[2] == before
    assert after[1] is not None
    assert after[1] > datetime.now(UTC) + timedelta(days=6)
    await rotated(api, body["id"], overlap="1m")
    assert all(at is None or at < datetime.now(UTC) + timedelta(minutes=2)
               for at in (await last_of(shared_url, body["id"])).secrets_expire_at)  # fmt: skip


async def test_what_has_expired_goes_with_the_next_write(api: httpx.AsyncClient, shared_url: str) -> None:
    body = await made(api)
    new = await rotated(api, body["id"])
    await rows_of(
        shared_url,
        "UPDATE subscriptions SET secrets_expire_at = ARRAY[NULL, now() - interval '1 s'] WHERE id = $1",
        body["id"],
    )
    assert (await api.patch(f"{PATH}/{body['id']}", json={"description": "x"})).status_code == 200
    assert keys_of(await last_of(shared_url, body["id"])) == [key_of(new)]


async def test_five_are_kept_at_most(api: httpx.AsyncClient, shared_url: str) -> None:
    body = await made(api)
    secrets = [body["secret"]] + [await rotated(api, body["id"]) for _ in range(6)]
    assert keys_of(await last_of(shared_url, body["id"])) == [key_of(secret) for secret in secrets[:1:-1]]


async def test_a_secret_brought_twice_is_there_once_and_never_ends(api: httpx.AsyncClient, shared_url: str) -> None:
    body = await made(api)
    for _ in range(2):
        assert await rotated(api, body["id"], secret=OWN) == OWN
    record = await last_of(shared_url, body["id"])
    assert keys_of(record) == [key_of(OWN), key_of(body["secret"])]
    assert record.secrets_expire_at[0] is None


@pytest.mark.parametrize(
    ("fields", "pointers"),
    [
        ({"overlap": ""}, ["/overlap"]),
        ({"overlap": "24"}, ["/overlap"]),
        ({"overlap": "1w"}, ["/overlap"]),
        ({"overlap": "-1h"}, ["/overlap"]),
        ({"overlap": " 24h "}, ["/overlap"]),
        ({"overlap": "169h"}, ["/overlap"]),
        ({"overlap": "8d"}, ["/overlap"]),
        ({"overlap": "9999999999s"}, ["/overlap"]),
        ({"overlap": 24}, ["/overlap"]),
        ({"secret": "short"}, ["/secret"]),
        ({"secret": "whsec_c2hvcnQ="}, ["/secret"]),
        ({"secret": 1}, ["/secret"]),
        ({"unknown": 1}, ["/unknown"]),
    ],
)
async def test_a_rotation_that_does_not_hold_is_pointed_at(
    bare_api: httpx.AsyncClient, fields: dict[str, object], pointers: list[str]
) -> None:
    response = await bare_api.post(f"{PATH}/{UNKNOWN}/rotate-secret", json=fields)
    assert pointers_of(response) == pointers
    assert str(fields.get("secret", "nothing of it")) not in response.text or fields.get("secret") == 1
