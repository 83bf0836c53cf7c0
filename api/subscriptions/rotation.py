"""A subscription's next secret: the new one signs first, the old ones beside it until their overlap is over."""

import re
from datetime import datetime, timedelta
from typing import Annotated, Final

from pydantic import ConfigDict, Field

from api.fields import holds
from api.requests import JsonBody
from api.subscriptions.bodies import Secret
from api.subscriptions.changes import opened_secrets, sealed_secret
from api.subscriptions.tables import SubscriptionRow
from schemas.sealing import Sealer
from schemas.signing import key_of
from schemas.waits import parse_duration

DEFAULT_OVERLAP: Final = "24h"
MOST_SECRETS: Final = 5  # each is a signature more in every request's header
_NOTHING: Final = re.compile(r"0+(ms|s|m|h|d)")


def overlap_of(text: str) -> timedelta:
    """Return the duration in `text`, also one of zero; raises InvalidInput when it is none or over seven days."""
    return timedelta(0) if _NOTHING.fullmatch(text) else parse_duration(text)


class Rotation(JsonBody):
    """How to rotate a secret. null is the same as leaving a field out."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"overlap": "48h"}]})

    overlap: (
        Annotated[
            str,
            Field(
                pattern=r"^[0-9]{1,9}(ms|s|m|h|d)$",
                description="How long the old secrets sign too: `0s` to `7d`; 24h unless given.",
                examples=["24h"],
            ),
            holds(overlap_of),
        ]
        | None
    ) = None
    secret: Secret | None = None

    @property
    def duration(self) -> timedelta:
        """The overlap as a duration."""
        return overlap_of(self.overlap or DEFAULT_OVERLAP)


def rotate(row: SubscriptionRow, secret: str, *, overlap: timedelta, now: datetime, sealer: Sealer) -> None:
    """Put `secret` (`whsec_…`) before those that a row has; the older of them end when they would have anyhow.

    A caller's own secret that the row has already moves to the front, so that a rotation sent twice comes to the same.
    Those that are over `MOST_SECRETS` stop at once, the oldest first.
    """
    key, end = key_of(secret), now + overlap
    old = [
        (sealed, end if expires_at is None else min(expires_at, end))
        for sealed, known, expires_at in zip(
            row.secrets, opened_secrets(row, sealer), row.secrets_expire_at, strict=True
        )
        if known != key
    ][: MOST_SECRETS - 1]
    row.secrets = [sealed_secret(secret, row, sealer), *(sealed for sealed, _ in old)]
    row.secrets_expire_at = [None, *(expires_at for _, expires_at in old)]
