"""One of each thing in an organization, and which of them each operation's path names."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx

from tests.fuzz.seeding import seed

# What an operation's path names, by its parameter: a new parameter is added here, with what it names.
NAMES = {
    "application_id": "application",
    "client_id": "approved_client",
    "delivery_id": "delivery",
    "event_id": "event",
    "invitation_id": "invitation",
    "job_id": "replay",
    "name": "event_type",
    "organization_id": "organization",
    "quarantine_id": "quarantine",
    "replay_id": "replay",
    "role_id": "role",
    "session_id": "session",
    "subscription_id": "subscription",
    "token_id": "token",
    "user_id": "user",
    "version": "event_type_version",
}
OWN_NAMES = {"remove_member": {"user_id": "member"}, "cancel_replay": {"replay_id": "replay"}}
EVERYBODYS = {"event_type_version", "quarantine"}  # the same for all, or the operator's


@dataclass(frozen=True)
class Things:
    """An organization and the ids of what is in it, by kind."""

    organization_id: str
    ids: dict[str, str]

    def path(self, operation_id: str, path: str) -> str:
        """Return an operation's path with ids of this organization's things; KeyError for a parameter not listed."""
        names = {**NAMES, **OWN_NAMES.get(operation_id, {})}
        parts = [part[1:-1] if part.startswith("{") else "" for part in path.split("/")]
        return "/".join(
            self.ids[names[name]] if name else part for name, part in zip(parts, path.split("/"), strict=True)
        )


async def things_of(admin: httpx.AsyncClient, url: str) -> Things:
    """Make one of each in the organization that `admin` acts in."""
    organization_id = admin.headers["Hookline-Organization"]
    seeded = await seed(url, admin, organization_id)

    async def made(path: str, body: dict[str, object]) -> dict[str, str]:
        answer = await admin.post(f"/api/v1/{path}", json=body)
        assert answer.status_code == 201, (path, answer.text)
        return dict(answer.json())

    def user() -> dict[str, object]:
        return {"email": f"{uuid4().hex}@example.com", "name": "Somebody", "role": "viewer", "verified": True}

    application: dict[str, object] = {
        "name": "Theirs",
        "kind": "confidential",
        "redirect_uris": ["https://reporting.example.com/callback"],
        "scopes": ["read"],
        "grants": ["authorization_code"],
    }
    event_type: dict[str, object] = {
        "name": f"order.shipped_{uuid4().hex}",
        "description": "An order left.",
        "state": "draft",
        "schema": {"type": "record", "name": "shipped", "fields": [{"name": "id", "type": "string"}]},
        "example": {"id": "ord_1"},
    }
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    ids = {
        "organization": organization_id,
        "subscription": seeded["subscriptions"][0],
        "event": seeded["events"][0],
        "delivery": seeded["deliveries"][0],
        "replay": seeded["replays"][0],
        "quarantine": seeded["quarantine"][0],
        "event_type": (await made("event-types", event_type))["name"],
        "event_type_version": "1",
        "user": (await made("users", user()))["id"],
        "member": (await made("users", user()))["id"],
        "role": (await made("roles", {"name": "Their role", "permissions": ["read"]}))["id"],
        "token": (await made("api-tokens", {"name": "t", "scopes": ["read"], "expires_at": later}))["id"],
        "application": (await made("applications", application))["id"],
        "invitation": (await made("members/invitations", {"email": f"{uuid4().hex}@example.com", "role": "viewer"}))[
            "id"
        ],
    }
    return Things(organization_id, ids)
