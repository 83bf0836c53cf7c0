"""Python's verifiers: standardwebhooks, stripe, gidgethub."""

from datetime import UTC, datetime
from typing import cast

from gidgethub import ValidationFailure
from gidgethub.sansio import validate_event
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from stripe import SignatureVerificationError, WebhookSignature

from schemas.records import SignatureStyle
from tests.verifiers.cases import WINDOW, Case

_EVER = 10**10


def accepts(case: Case) -> bool:
    """Return whether the library of the case's style accepts it; all three raise when they do not."""
    match case.style:
        case SignatureStyle.STANDARD:
            return _standard(case)
        case SignatureStyle.TIMESTAMPED:
            return _timestamped(case)
        case SignatureStyle.HEX:
            return _hexadecimal(case)


def _standard(case: Case) -> bool:
    try:
        if case.any_time:  # the library cannot leave the time out: what it signs must be among the signatures
            at = datetime.fromtimestamp(int(case.headers["webhook-timestamp"]), UTC)
            return Webhook(case.secret).sign(case.headers["webhook-id"], at, case.body) in case.signature.split(" ")
        Webhook(case.secret).verify(case.body.encode(), case.headers, json_parse=False)
    except WebhookVerificationError:
        return False
    return True


def _timestamped(case: Case) -> bool:
    tolerance = _EVER if case.any_time else int(WINDOW.total_seconds())
    try:
        return cast(bool, WebhookSignature.verify_header(case.body, case.signature, case.secret, tolerance))
    except SignatureVerificationError:
        return False


def _hexadecimal(case: Case) -> bool:
    try:
        validate_event(case.body.encode(), signature=case.signature, secret=case.secret)
    except ValidationFailure:
        return False
    return True
