"""The JSON of organizations: what comes in and what goes out."""

import re
from datetime import datetime
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from api.fields import holds, without_default
from api.organizations.preferences import OrganizationSettings, SettingsPatch
from api.organizations.tables import OrganizationRow
from api.requests import JsonBody
from schemas.envelope import check_organization
from schemas.errors import InvalidInput
from schemas.urls import checked_url

_COLOUR: Final = re.compile(r"#[0-9a-fA-F]{6}")


def check_name(text: str) -> None:
    """Raise InvalidInput for a name that nobody could read, or that would show as something else than it is.

    It stands in e-mails and on the consent page: line breaks, bidi overrides and zero-width characters have no place.
    """
    if not text.isprintable():
        raise InvalidInput("leave out line breaks, control and invisible characters")
    if text != text.strip():
        raise InvalidInput("leave out the spaces around it")


def _check_id(text: str) -> None:
    try:
        check_organization(text)
    except InvalidInput as error:
        raise InvalidInput(error.detail) from None  # where it stands, pydantic says


def _check_colour(text: str) -> None:
    if _COLOUR.fullmatch(text) is None:
        raise InvalidInput("write a colour as # and six hexadecimal digits, such as #1a73e8")


Id = Annotated[
    str,
    Field(description="1 to 100 letters, digits and . _ : -, as another system knows it; `org_…` unless given."),
    holds(_check_id),
]
Name = Annotated[str, Field(min_length=1, max_length=200), holds(check_name)]
LogoUrl = Annotated[str, Field(min_length=1, max_length=2048), holds(checked_url)]
Colour = Annotated[str, Field(pattern="^#[0-9a-fA-F]{6}$", examples=["#1a73e8"]), holds(_check_colour)]

_BRANDING: Final[dict[str, JsonValue]] = {
    "display_name": "Example",
    "logo_url": "https://example.com/logo.png",
    "primary_color": "#1a73e8",
    "accent_color": "#fbbc04",
}


class NewOrganization(JsonBody):
    """What makes an organization."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Example Ltd"}]})

    id: Id | None = None
    name: Name


class OrganizationPatch(JsonBody):
    """A merge patch (RFC 7396): what is left out stays, null takes an optional field back to its default.

    What was given is in `model_fields_set`; the values of the other fields mean nothing.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Example Ltd"}, _BRANDING]})

    name: Name = Field(default="", json_schema_extra=without_default)
    settings: SettingsPatch = Field(default=SettingsPatch(), json_schema_extra=without_default)
    display_name: Name | None = Field(
        default=None, description="What the consent page calls it; null: its name.", json_schema_extra=without_default
    )
    logo_url: LogoUrl | None = Field(
        default=None, description="https; shown on the consent page.", json_schema_extra=without_default
    )
    primary_color: Colour | None = Field(default=None, json_schema_extra=without_default)
    accent_color: Colour | None = Field(default=None, json_schema_extra=without_default)


class OrganizationSummary(BaseModel):
    """An organization in a list: what whoever belongs to it may know of it."""

    id: str
    name: str
    display_name: str | None
    logo_url: str | None
    created_at: datetime


class OrganizationBody(OrganizationSummary):
    """An organization as it is shown."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "org_019a9f2a11127a3b8c4d5e6f708192a3",
                    "name": "Example Ltd",
                    **_BRANDING,
                    "settings": {"invitation_domains": ["example.com"], "applications_need_approval": True},
                    "version": 1,
                    "created_at": "2026-11-21T09:30:00Z",
                    "updated_at": "2026-11-21T09:30:00Z",
                }
            ]
        }
    )

    primary_color: str | None
    accent_color: str | None
    settings: OrganizationSettings
    version: int = Field(description="Rises with every change; the ETag holds it too.")
    updated_at: datetime


def summary_of(row: OrganizationRow) -> OrganizationSummary:
    """Return what a list says of a row."""
    return OrganizationSummary.model_validate(row, from_attributes=True)


def body_of(row: OrganizationRow) -> OrganizationBody:
    """Return what a row is shown as."""
    kept = {name: getattr(row, name) for name in OrganizationBody.model_fields if name != "settings"}
    return OrganizationBody(**kept, settings=OrganizationSettings.kept(row.settings))
