"""The JSON of applications: what comes in and what goes out."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.fields import holds, without_default
from api.oauth.redirects import LONGEST_URI, MOST_URIS
from api.permissions import permissions_of
from api.requests import JsonBody
from api.subscriptions.rotation import DEFAULT_OVERLAP, overlap_of
from schemas.errors import InvalidInput
from schemas.urls import LONGEST_URL, checked_url

_EXAMPLE: Final[dict[str, Any]] = {
    "name": "Reporting",
    "kind": "confidential",
    "redirect_uris": ["https://reporting.example.com/callback"],
    "scopes": ["read"],
    "grants": ["authorization_code", "refresh_token"],
}


def _check_once(values: list[str]) -> None:
    if len(set(values)) < len(values):
        raise InvalidInput("name each once")


def _check_name(name: str) -> None:
    if not name.isprintable() or name != name.strip():
        raise InvalidInput("must be printable, without spaces at its ends: people read it when they consent")


Kind = Annotated[
    Literal["confidential", "public"],
    Field(description="Whether it can keep a secret (RFC 6749, 2.1): a server can, a browser or a phone cannot."),
]
Grant = Literal["authorization_code", "refresh_token", "client_credentials"]
Algorithm = Annotated[Literal["EdDSA", "RS256"], Field(description="What its access tokens are signed with.")]
Name = Annotated[str, Field(min_length=1, max_length=100), holds(_check_name)]
Description = Annotated[str, Field(max_length=1000)]
Url = Annotated[str, Field(min_length=1, max_length=LONGEST_URL, description="https only."), holds(checked_url)]
RedirectUris = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=LONGEST_URI)]],
    Field(
        max_length=MOST_URIS,
        description=(
            "Where users may be sent back to, each whole: https, or http on 127.0.0.1 or [::1] (with any port then), "
            "or for public applications a scheme with a dot. They are compared character by character."
        ),
        examples=[["https://reporting.example.com/callback"]],
    ),
    holds(_check_once),
]
Scopes = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=60)]],
    Field(
        min_length=1,
        max_length=100,
        description="What it may ask for at most: `read`, `write`, `subscriptions:*`, `deliveries:read`, …",
        examples=[["read"]],
    ),
    holds(_check_once),
    holds(lambda scopes: permissions_of(scopes, pointer="")),
]
Grants = Annotated[
    list[Grant],
    Field(min_length=1, max_length=3, description="`client_credentials` is for confidential applications only."),
    holds(_check_once),
]
RequiresPkce = Annotated[
    bool,
    Field(description="Whether the code flow needs PKCE (RFC 7636); false only for a confidential application."),
]


class NewApplication(JsonBody):
    """What registers an application. null is the same as leaving an optional field out."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    name: Name
    kind: Kind
    redirect_uris: RedirectUris
    scopes: Scopes
    grants: Grants
    description: Description | None = None
    logo_url: Url | None = None
    homepage_url: Url | None = None
    requires_pkce: RequiresPkce = True
    signing_algorithm: Algorithm = "EdDSA"


class ApplicationPatch(JsonBody):
    """What to change, as a merge patch (RFC 7396): null removes what may be missing. The kind never changes."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Reports", "scopes": ["read"]}]})

    name: Name = Field(default="", json_schema_extra=without_default)
    redirect_uris: RedirectUris = Field(default=[], json_schema_extra=without_default)
    scopes: Scopes = Field(default=[], json_schema_extra=without_default)
    grants: Grants = Field(default=[], json_schema_extra=without_default)
    description: Description | None = Field(default=None, json_schema_extra=without_default)
    logo_url: Url | None = Field(default=None, json_schema_extra=without_default)
    homepage_url: Url | None = Field(default=None, json_schema_extra=without_default)
    requires_pkce: RequiresPkce = Field(default=True, json_schema_extra=without_default)
    signing_algorithm: Algorithm = Field(default="EdDSA", json_schema_extra=without_default)


class SecretRotation(JsonBody):
    """How to rotate the secret. null is the same as leaving it out."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"overlap": "24h"}, {}]})

    overlap: (
        Annotated[
            str,
            Field(
                pattern=r"^[0-9]{1,9}(ms|s|m|h|d)$",
                description=f"How long the old secrets are good too: `0s` to `7d`; {DEFAULT_OVERLAP} unless given.",
                examples=["24h"],
            ),
            holds(overlap_of),
        ]
        | None
    ) = None


class ApplicationBody(BaseModel):
    """An application as it is shown; its secret is not."""

    id: str
    client_id: str = Field(description="What it calls itself at the OAuth endpoints: the same as its id.")
    name: str
    kind: str
    description: str | None
    logo_url: str | None
    homepage_url: str | None
    redirect_uris: list[str]
    scopes: list[str]
    grants: list[str]
    requires_pkce: bool
    signing_algorithm: str
    enabled: bool
    version: int
    created_by: str
    created_at: datetime
    updated_at: datetime


class ApplicationWithSecret(ApplicationBody):
    """An application when it was registered, or got another secret."""

    client_secret: str | None = Field(description="Shown once; null for a public application.")


class NewApproval(JsonBody):
    """Which application the organization's users may use."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"client_id": "app_019a9f2a11127a3b8c4d5e6f708192a3"}]})

    client_id: Annotated[str, Field(min_length=1, max_length=100)]


class ApprovalBody(BaseModel):
    """Another organization's application that this one's users may use."""

    client_id: str
    name: str
    organization_id: str = Field(description="Whose application it is.")
    scopes: list[str] = Field(description="What it may ask for at most.")
    approved_by: str
    created_at: datetime
