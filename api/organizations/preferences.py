"""What an organization may set for itself; routes that act by it read it here."""

import re
from collections.abc import Mapping
from typing import Annotated, Final, Self

import idna
from pydantic import BaseModel, Field

from api.fields import holds, without_default
from api.requests import JsonBody
from schemas.errors import InvalidInput
from schemas.json_values import Json

MOST_DOMAINS: Final = 50
_DOMAIN: Final = re.compile(r"(?=.{1,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]")


def _check_domain(domain: str) -> None:
    """Raise InvalidInput unless it is a name as DNS has it; an international one is written in its ASCII form."""
    if _DOMAIN.fullmatch(domain) is None:
        raise InvalidInput(f"write a domain in lower case, such as example.com{_hint_for(domain)}")


def _hint_for(domain: str) -> str:
    try:
        ascii_form = idna.encode(domain, uts46=True).decode()
    except (idna.IDNAError, UnicodeError):
        return ""
    return f"; this one is {ascii_form}" if _DOMAIN.fullmatch(ascii_form) else ""


def _check_domains(domains: list[str]) -> None:
    if len(set(domains)) < len(domains):
        raise InvalidInput("name each domain once")


Domain = Annotated[str, holds(_check_domain)]
Domains = Annotated[
    list[Domain],
    Field(
        max_length=MOST_DOMAINS,
        description="Only addresses in these domains can be invited, subdomains not included; none: any address.",
        examples=[["example.com"]],
    ),
    holds(_check_domains),
]
_APPROVAL: Final = "Whether other organizations' applications need an admin's approval before members can use them."


class OrganizationSettings(BaseModel):
    """An organization's settings, each with its value or its default."""

    invitation_domains: Domains = []
    applications_need_approval: bool = Field(default=True, description=_APPROVAL)

    @classmethod
    def kept(cls, settings: Mapping[str, Json]) -> Self:
        """Return those that a row holds; what this release does not know is left alone."""
        return cls.model_validate({name: value for name, value in settings.items() if name in cls.model_fields})

    def may_invite(self, email_key: str) -> bool:
        """Return whether an address (`email_key_of`) may be invited: its domain is one of those, or there are none."""
        return not self.invitation_domains or email_key.rpartition("@")[2] in self.invitation_domains


class SettingsPatch(JsonBody):
    """Settings to change: what is left out stays, null takes one back to its default."""

    invitation_domains: Domains | None = Field(default=None, json_schema_extra=without_default)
    applications_need_approval: bool | None = Field(
        default=None, description=_APPROVAL, json_schema_extra=without_default
    )

    def applied_to(self, settings: Mapping[str, Json]) -> dict[str, Json]:
        """Return settings with these changes."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        return {
            **{name: value for name, value in settings.items() if name not in given},
            **{name: value for name, value in given.items() if value is not None},
        }
