"""People and machines come in: an e-mail leads to a password, a token publishes, and each change is a webhook."""

import asyncio
import email
import email.policy
import json
import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from compose.stack import Stack
from tests.flows.conftest import Organization
from tests.flows.recorder import Recorder

pytestmark = pytest.mark.flow

PASSWORD = "a tortoise between two trams"


async def link_sent_to(address: str, folder: Path, *, template: str, within_s: float = 60) -> tuple[str, str]:
    """Wait for an e-mail; return the path of its link and the token in it."""
    async with asyncio.timeout(within_s):
        while (found := link_in(folder, address, template)) is None:  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.1)
    return found


def link_in(folder: Path, address: str, template: str) -> tuple[str, str] | None:
    for path in sorted(folder.glob(f"*-{template}-*.eml")):
        letter = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        body = letter.get_body(("plain",))
        if letter["To"] == address and body is not None and (found := re.search(r"http://\S+", body.get_content())):
            link = urlsplit(found[0])
            return link.path, parse_qs(link.query)["token"][0]
    return None


async def test_who_was_invited_signs_in_and_their_token_publishes(
    stack: Stack, organization: Organization, recorder: Recorder
) -> None:
    url = recorder.path("changes")
    await organization.subscribe(url, "member.joined", "api_token.*", "auth.login", "user.created")
    address = f"{organization.id}@example.com"
    await organization.post("/members/invitations", {"email": address, "role": "developer"}, status=201)
    page, token = await link_sent_to(address, stack.folder / "mail", template="invitation")
    assert page == "/invitation"

    async with httpx.AsyncClient(base_url=stack.api_url, trust_env=False, timeout=30) as browser:
        shown = await browser.get(page, params={"token": token})
        assert (shown.status_code, "Accept" in shown.text) == (200, True)
        accepted = await browser.post(
            "/api/v1/invitations/accept", json={"token": token, "name": "Ada", "password": PASSWORD}
        )
        assert accepted.status_code in {200, 201}, accepted.text
        again = await browser.post("/api/v1/invitations/accept", json={"token": token, "password": PASSWORD})
        assert again.status_code == 409
        signed_in = await browser.post("/api/v1/sessions", json={"email": address, "password": PASSWORD})
        assert signed_in.status_code == 201, signed_in.text
        csrf = {"X-CSRF-Token": signed_in.json()["csrf_token"]}
        wanted = {"name": "billing", "scopes": ["events:publish"]}
        made = await browser.post("/api/v1/api-tokens", json=wanted, headers=csrf)
        assert made.status_code == 201, made.text
        beyond = await browser.post("/api/v1/api-tokens", json={**wanted, "scopes": ["users:*"]}, headers=csrf)
        assert beyond.status_code == 422, "a developer may not manage users, and gives no more than that"

    service = {"Authorization": f"Bearer {made.json()['token']}"}
    async with httpx.AsyncClient(base_url=stack.api_url, trust_env=False, timeout=30, headers=service) as machine:
        event = {"type": "user.created", "data": {"id": "user_of_the_service"}}
        assert (await machine.post("/api/v1/events", json=event)).status_code == 202
        assert (await machine.get("/api/v1/subscriptions")).status_code == 403
        revoked = await organization.api.delete(f"/api/v1/api-tokens/{made.json()['id']}")
        assert revoked.status_code == 204
        assert (await machine.post("/api/v1/events", json=event)).status_code == 401

    wanted_types = {"member.joined", "auth.login", "api_token.created", "api_token.revoked", "user.created"}
    requests = await recorder.until(
        "changes", lambda found: wanted_types <= {type_of(each.body) for each in found}, within_s=60
    )
    sent = b"".join(each.body for each in requests)
    for secret in (PASSWORD, made.json()["token"], token, signed_in.json()["csrf_token"]):
        assert secret.encode() not in sent
    entries = await organization.get("/audit", limit=100)
    did = {(each["action"], each["actor"]["name"]) for each in entries["data"]}
    assert {("create_api_token", "Ada"), ("revoke_api_token", "administrator")} <= did


def type_of(body: bytes) -> str:
    return str(json.loads(body)["type"])
