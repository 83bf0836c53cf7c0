"""Names that subscribers choose for headers of ours: tokens, nobody else's, each once."""

import pytest

from schemas.errors import InvalidInput
from schemas.header_names import check_header_names, checked_header_name


@pytest.mark.parametrize(
    "name",
    [
        *("X-Optio-Signature", "X-DCVaaS-Event", "X-Hub-Signature-256", "Stripe-Signature", "svix-signature"),
        *("webhook-signature", "Webhook-Event", "Authorization", "x_odd!#$%&'*+-.^`|~", "x" * 95),
    ],
)
def test_names_of_older_systems_are_taken_as_they_are(name: str) -> None:
    assert checked_header_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *("Host", "HOST", "Content-Length", "content-type", "Content-MD5", "Accept-Encoding", "User-Agent"),
        *("Connection", "Keep-Alive", "Proxy-Authorization", "Proxy-Connection", "TE", "Trailer", "Upgrade", "Expect"),
        *("Transfer-Encoding", "traceparent", "Cookie", "Set-Cookie", "Forwarded", "X-Forwarded-For"),
        *("webhook-id", "Webhook-Timestamp", "hookline-replay", "Hookline-Sequence", "hookline-anything"),
        *("", " ", "a b", "a:b", "a\r\nb", "a\n", "a\x00", "é", "(x)", "\ud800", "x" * 96, "x" * 101),
    ],
)
def test_names_that_are_no_tokens_or_have_another_use_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput):
        checked_header_name(name)


@pytest.mark.parametrize(
    ("names", "field"),
    [
        ({"event_type": "x-SIGNATURE"}, "/event_type_header"),
        ({"delivery_id": "x-signature"}, "/delivery_id_header"),
        ({"event_type": "x-a", "delivery_id": "X-A"}, "/delivery_id_header"),
        ({"delivery_id": "X-Signature-Next"}, "/delivery_id_header"),  # there while a secret of the hex style rotates
        ({"own": ["x-signature"]}, "/signature_header"),
        ({"own": ["x-signature-next"]}, "/signature_header"),
        ({"event_type": "x-a", "own": ["Authorization", "X-A"]}, "/event_type_header"),
        ({"delivery_id": "x-a", "own": ["X-A"]}, "/delivery_id_header"),
    ],
)
def test_two_headers_never_share_a_name(names: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_header_names(signature="X-Signature", **names)
    assert refused.value.pointer == field


def test_names_that_differ_are_taken() -> None:
    check_header_names(signature="X-Signature")
    check_header_names(signature="X-Signature", event_type="X-Event", delivery_id="X-Id", own=["Authorization", "X-A"])
