"""From what a caller sends to a row, and from a row to what a caller sees. No query here, and no URL is judged."""

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import cast

import orjson
from pydantic import JsonValue, SecretStr

from api.subscriptions.bodies import (
    DEFAULT_TIMEOUT_S,
    NewSubscription,
    SubscriptionBody,
    SubscriptionPatch,
    SubscriptionReplacement,
    check_metadata,
    key_of_given,
)
from api.subscriptions.filtering import ShownFilterErrors, set_filters, shown_filtering
from api.subscriptions.headers import MASK, merged, replaced
from api.subscriptions.payloads import apply_payload, set_payload, shown_payload
from api.subscriptions.sending_rows import apply_sending, check_together, set_sending, shown_sending
from api.subscriptions.standing import Delivering
from api.subscriptions.tables import MANUAL, SubscriptionRow, SubscriptionState
from schemas.errors import InvalidInput
from schemas.ids import OrganizationId, new_subscription_id
from schemas.redaction import Json
from schemas.sealing import HEADERS_PURPOSE, SECRET_PURPOSE, Sealer
from schemas.signing import PREFIX, key_of, new_secret


def row_of(
    body: NewSubscription, *, url: str, organization_id: OrganizationId, sealer: Sealer
) -> tuple[SubscriptionRow, str]:
    """Return a new row for a checked URL, and its secret as `whsec_…`, which is not shown again.

    Raises InvalidInput when its settings do not go together.
    """
    secret = secret_of(body.secret)
    now = datetime.now(UTC)
    row = SubscriptionRow(
        id=new_subscription_id(),
        organization_id=organization_id,
        version=0,
        url=url,
        event_types=body.event_types,
        description=body.description,
        timeout_ms=_milliseconds(body.timeout_s),
        enabled=body.enabled,
        disabled_reason=None if body.enabled else MANUAL,
        enabled_at=now if body.enabled else None,
        disabled_at=None if body.enabled else now,
        paused=False,
        transformation_version=0,
        about=body.metadata or {},
        created_at=now,
        updated_at=now,
    )
    set_filters(body.filters, row)
    set_sending(body, row)
    set_payload(body.payload, row)
    check_together(row, body.headers or {})
    row.headers = _sealed_headers(sealer, row, body.headers or {})
    row.secrets = [sealed_secret(secret, row, sealer)]
    row.secrets_expire_at = [None]
    return row, secret


def secret_of(given: SecretStr | None) -> str:
    """Return a fresh secret, or the caller's own, as `whsec_…`."""
    return new_secret() if given is None else PREFIX + base64.b64encode(key_of_given(given)).decode()


def sealed_secret(secret: str, row: SubscriptionRow, sealer: Sealer) -> bytes:
    """Return a secret's key sealed for a row."""
    return sealer.seal(key_of(secret), organization=row.organization_id, row=row.id, purpose=SECRET_PURPOSE)


def opened_secrets(row: SubscriptionRow, sealer: Sealer) -> list[bytes]:
    """Return the keys of a row, newest first."""
    return [
        sealer.open(sealed, organization=row.organization_id, row=row.id, purpose=SECRET_PURPOSE)
        for sealed in row.secrets
    ]


def apply(patch: SubscriptionPatch, row: SubscriptionRow, *, url: str | None, sealer: Sealer) -> None:
    """Change what the patch names; `url` is its URL, checked. Raises InvalidInput when the merged whole does not hold.

    Enabling forgets why it was disabled; disabling what is disabled already keeps the reason.
    """
    given = patch.model_fields_set
    if url is not None:
        row.url = url
    if "event_types" in given:
        row.event_types = patch.event_types
    if "description" in given:
        row.description = patch.description
    if "timeout_s" in given:
        row.timeout_ms = _milliseconds(patch.timeout_s)
    if "enabled" in given:
        set_enabled(row, patch.enabled, reason=MANUAL)
    if "metadata" in given:
        row.about = cast(dict[str, Json], _merged_metadata(row.about, patch.metadata))
    if "headers" in given:
        _apply_headers(patch.headers, row, sealer)
    if "filters" in given:
        set_filters(patch.filters, row)
    apply_sending(patch, row)
    if "payload" in given:
        apply_payload(patch.payload, row)
    check_together(row, _opened_headers(sealer, row))


def replace(body: SubscriptionReplacement, row: SubscriptionRow, *, url: str, sealer: Sealer) -> None:
    """Make a row say what `body` says, its secret apart; `url` is its URL, checked.

    Raises InvalidInput when a header is to keep a value and has none, or settings do not go together.
    """
    try:
        headers = replaced(_opened_headers(sealer, row), body.headers or {})
    except InvalidInput as error:
        raise InvalidInput(error.detail, pointer="/headers") from error
    row.url = url
    row.event_types = body.event_types
    row.description = body.description
    row.timeout_ms = _milliseconds(body.timeout_s)
    row.about = cast(dict[str, Json], body.metadata or {})
    row.headers = _sealed_headers(sealer, row, headers)
    set_enabled(row, body.enabled, reason=MANUAL)
    set_filters(body.filters, row)
    set_sending(body, row)
    set_payload(body.payload, row)
    check_together(row, headers)


def set_enabled(row: SubscriptionRow, enabled: bool, *, reason: str) -> None:
    """Enable or disable; what is so already keeps its time and its reason."""
    if row.enabled == enabled:
        return
    now = datetime.now(UTC)
    row.enabled = enabled
    row.disabled_reason = None if enabled else reason
    row.enabled_at, row.disabled_at = (now, None) if enabled else (row.enabled_at, now)


def shown(
    row: SubscriptionRow,
    state: SubscriptionState,
    sealer: Sealer,
    *,
    delivering: Delivering,
    filter_errors: ShownFilterErrors | None,
) -> SubscriptionBody:
    """Return a row as its body: the secret stays out, header values are hidden."""
    return SubscriptionBody(
        id=row.id,
        url=row.url,
        event_types=row.event_types,
        description=row.description,
        headers=dict.fromkeys(_opened_headers(sealer, row), MASK),
        timeout_s=row.timeout_ms / 1000,
        enabled=row.enabled,
        state=state,
        disabled_reason=row.disabled_reason,
        disabled_at=row.disabled_at,
        paused_at=row.paused_at,
        delivering=delivering,
        metadata=row.about,
        payload=shown_payload(row),
        transformation_version=row.transformation_version,
        version=row.version,
        created_at=row.created_at,
        updated_at=row.updated_at,
        **dict(shown_filtering(row, filter_errors)),
        **dict(shown_sending(row)),
    )


def _milliseconds(timeout_s: float | None) -> int:
    return round((DEFAULT_TIMEOUT_S if timeout_s is None else timeout_s) * 1000)


def _apply_headers(change: Mapping[str, str | None] | None, row: SubscriptionRow, sealer: Sealer) -> None:
    try:
        headers = {} if change is None else merged(_opened_headers(sealer, row), change)
    except InvalidInput as error:
        raise InvalidInput(error.detail, pointer="/headers") from error
    row.headers = _sealed_headers(sealer, row, headers)


def _merged_metadata(kept: Json, change: dict[str, JsonValue] | None) -> Json:
    result = {} if change is None else _merged(kept, cast(Json, change))
    try:
        check_metadata(cast(dict[str, JsonValue], result))
    except InvalidInput as error:
        raise InvalidInput(error.detail, pointer="/metadata") from error
    return result


def _merged(kept: Json, change: Json) -> Json:
    """Return a JSON value with a merge patch applied, as RFC 7396, 2 spells it."""
    if not isinstance(change, dict):
        return change
    result = dict(kept) if isinstance(kept, dict) else {}
    for name, value in change.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = _merged(result.get(name), value)
    return result


def _sealed_headers(sealer: Sealer, row: SubscriptionRow, headers: Mapping[str, str]) -> bytes | None:
    if not headers:
        return None
    return sealer.seal(
        orjson.dumps(dict(headers)), organization=row.organization_id, row=row.id, purpose=HEADERS_PURPOSE
    )


def _opened_headers(sealer: Sealer, row: SubscriptionRow) -> dict[str, str]:
    if row.headers is None:
        return {}
    opened = sealer.open(row.headers, organization=row.organization_id, row=row.id, purpose=HEADERS_PURPOSE)
    return cast(dict[str, str], orjson.loads(opened))
