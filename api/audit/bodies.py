"""An entry of the audit log as it is shown."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from api.audit.tables import AuditRow


class ActorBody(BaseModel):
    """Who did it."""

    kind: str = Field(description="`administrator`, `api_token`, `access_token`, `session`, or `nobody`: not known.")
    id: str = Field(description="The user's id when one stands behind it, else the credential's.")
    name: str
    application_id: str | None = Field(description="The OAuth client that acted, if one did.")


class AuditEntry(BaseModel):
    """One thing that was done. Entries are added and never changed."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "aud_019a9f2b6c7d7e8f9a0b1c2d3e4f5a6b",
                    "at": "2026-11-21T09:30:00Z",
                    "actor": {"kind": "session", "id": "usr_1", "name": "Ada Lovelace", "application_id": None},
                    "action": "change_subscription",
                    "target_kind": "subscriptions",
                    "target_id": "sub_019a9f2b6c7d7e8f9a0b1c2d3e4f5a6b",
                    "changes": {"enabled": True},
                    "address": "203.0.113.7",
                    "user_agent": "Mozilla/5.0",
                    "request_id": "req_019a9f2b6c7d7e8f9a0b1c2d3e4f5a6b",
                }
            ]
        }
    )

    id: str
    at: datetime
    actor: ActorBody
    action: str = Field(description="The operation's id in this description, or `auth.…` for signing in and out.")
    target_kind: str | None = Field(description="What it was done to, as paths name it: `subscriptions`.")
    target_id: str | None
    changes: dict[str, Any] | None = Field(description="What it was before; secrets are never in it.")
    address: str = Field(description="Where the request came from; empty: not known.")
    user_agent: str
    request_id: str


def shown(row: AuditRow) -> AuditEntry:
    """Return the body of a row."""
    return AuditEntry(
        id=row.id,
        at=row.at,
        actor=ActorBody(kind=row.actor_kind, id=row.actor_id, name=row.actor_name, application_id=row.application_id),
        action=row.action,
        target_kind=row.target_kind,
        target_id=row.target_id,
        changes=row.changes,
        address=row.address,
        user_agent=row.user_agent,
        request_id=row.request_id,
    )
