"""How a subscription is sent to, between a body and its row. No query here."""

from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

from api.subscriptions.sending import (
    Per,
    RateLimit,
    RateLimitPatch,
    SendingPatch,
    SendingSettings,
    ShownSending,
    ShownSignature,
    Signature,
)
from api.subscriptions.tables import SubscriptionRow
from schemas.addresses import NOT_AN_ADDRESS, checked_networks, is_within, networks_of, refusal_of
from schemas.errors import InvalidInput
from schemas.header_names import check_header_names
from schemas.records import OnExhaustion, Ordering, SignatureStyle
from schemas.signing import SIGNATURE_HEADERS

_PERIODS_S: Final[dict[Per, int]] = {"second": 1, "minute": 60}
_POINTERS: Final = {"/signature_header": "/signature/header"}  # where the worker's name for it stands in a body
_NAMES: Final[dict[int, Per]] = {seconds: name for name, seconds in _PERIODS_S.items()}


def set_sending(body: SendingSettings, row: SubscriptionRow) -> None:
    """Make a row say what `body` says; what it leaves out gets its default."""
    _set_rate_limit(body.rate_limit, row)
    signature = body.signature or Signature()
    row.signature_style = (signature.style or SignatureStyle.STANDARD).value
    row.signature_header = signature.header
    _set_the_others(body, row, given=type(body).model_fields)


def apply_sending(patch: SendingPatch, row: SubscriptionRow) -> None:
    """Change what the patch names. Raises InvalidInput for half a rate limit where there is none yet."""
    given = patch.model_fields_set
    if "rate_limit" in given:
        _set_rate_limit(None if patch.rate_limit is None else _merged_rate_limit(patch.rate_limit, row), row)
    if "signature" in given:
        signature = patch.signature or Signature(style=None, header=None)
        if "style" in signature.model_fields_set:
            row.signature_style = (signature.style or SignatureStyle.STANDARD).value
        if "header" in signature.model_fields_set:
            row.signature_header = signature.header
    _set_the_others(patch, row, given=given)


def check_together(row: SubscriptionRow, own_headers: Collection[str]) -> None:
    """Raise InvalidInput when settings of a row do not go together.

    That is two headers of one name, in upper or lower case, or an address as URL that is in none of the allowed blocks;
    a name is judged when it is dialled. `own_headers` are the names of the subscriber's own.
    """
    try:
        check_header_names(
            signature=row.signature_header or SIGNATURE_HEADERS[SignatureStyle(row.signature_style)],
            event_type=row.event_type_header,
            delivery_id=row.delivery_id_header,
            own=own_headers,
        )
    except InvalidInput as error:
        raise InvalidInput(error.detail, pointer=_POINTERS.get(error.pointer, error.pointer)) from error
    host = urlsplit(row.url).hostname or ""
    if not row.allowed_addresses or refusal_of(host) == NOT_AN_ADDRESS:
        return
    if not is_within(host, networks_of(row.allowed_addresses)):
        raise InvalidInput(f"{host}, where the URL leads, is in none of these blocks", pointer="/allowed_addresses")


def shown_sending(row: SubscriptionRow) -> ShownSending:
    """Return how a row is sent to."""
    return ShownSending(
        rate_limit=_rate_limit_of(row),
        max_in_flight=row.most_in_flight,
        catch_up_rate_per_s=row.catch_up_per_s,
        ordering=Ordering(row.ordering),
        on_exhaustion=OnExhaustion(row.on_exhaustion),
        allowed_addresses=row.allowed_addresses,
        signature=ShownSignature(style=SignatureStyle(row.signature_style), header=row.signature_header),
        event_type_header=row.event_type_header,
        delivery_id_header=row.delivery_id_header,
    )


def _set_the_others(body: SendingSettings | SendingPatch, row: SubscriptionRow, *, given: Collection[str]) -> None:
    if "max_in_flight" in given:
        row.most_in_flight = body.max_in_flight
    if "catch_up_rate_per_s" in given:
        row.catch_up_per_s = body.catch_up_rate_per_s
    if "ordering" in given:
        row.ordering = (body.ordering or Ordering.NONE).value
    if "on_exhaustion" in given:
        row.on_exhaustion = (body.on_exhaustion or OnExhaustion.DEAD_LETTER).value
    if "allowed_addresses" in given:
        row.allowed_addresses = [*checked_networks(body.allowed_addresses or [])]
    if "event_type_header" in given:
        row.event_type_header = body.event_type_header
    if "delivery_id_header" in given:
        row.delivery_id_header = body.delivery_id_header


def _set_rate_limit(limit: RateLimit | None, row: SubscriptionRow) -> None:
    row.rate_limit = None if limit is None else limit.limit
    row.rate_period_s = 1 if limit is None else _PERIODS_S[limit.per]


def _merged_rate_limit(patch: RateLimitPatch, row: SubscriptionRow) -> RateLimit:
    kept, given = _rate_limit_of(row), patch.model_fields_set
    if kept is None:
        for name in ("limit", "per"):
            if name not in given:
                raise InvalidInput("there is no rate limit yet: give limit and per", pointer=f"/rate_limit/{name}")
        return RateLimit(limit=patch.limit, per=patch.per)
    return RateLimit(
        limit=patch.limit if "limit" in given else kept.limit, per=patch.per if "per" in given else kept.per
    )


def _rate_limit_of(row: SubscriptionRow) -> RateLimit | None:
    return None if row.rate_limit is None else RateLimit(limit=row.rate_limit, per=_NAMES[row.rate_period_s])
