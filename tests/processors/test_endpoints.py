"""Subscriptions are opened once a version, only where they were sealed, and never shown."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network

import orjson
import pytest

from processors.endpoints import Endpoints
from processors.errors import Unsendable
from schemas.ids import OrganizationId, SubscriptionId
from schemas.records import Subscription
from schemas.sealing import HEADERS_PURPOSE, SECRET_PURPOSE, Sealer, new_master_key, sealer_of
from tests.processors import made

KEY = b"signing-key-of-24-bytes!"
CREDENTIAL = "Bearer of-the-receiver"
SEALER = sealer_of(new_master_key())


def subscription(
    *,
    sealer: Sealer = SEALER,
    version: int = 1,
    headers: bytes | None = orjson.dumps({"Authorization": CREDENTIAL}),
    keys: tuple[bytes, ...] = (KEY,),
    organization: str = "org_1",
    identifier: str = "sub_1",
    expire_at: tuple[datetime | None, ...] = (),
) -> Subscription:
    def seal(plain: bytes, purpose: str) -> bytes:
        return sealer.seal(plain, organization="org_1", row="sub_1", purpose=purpose)

    return Subscription(
        id=SubscriptionId(identifier),
        organization_id=OrganizationId(organization),
        version=version,
        url="https://example.com/hooks?token=in-the-query",
        event_types=("*",),
        secrets=tuple(seal(key, SECRET_PURPOSE) for key in keys),
        headers=None if headers is None else seal(headers, HEADERS_PURPOSE),
        enabled=True,
        timeout_ms=1500,
        updated_at=datetime.now(UTC),
        secrets_expire_at=expire_at,
    )


def test_opens_secrets_headers_url_and_timeout() -> None:
    endpoint = Endpoints(SEALER).endpoint_of(subscription(keys=(KEY, b"the key before this one.")))
    assert endpoint.keys == (KEY, b"the key before this one.")
    assert endpoint.headers == {"Authorization": CREDENTIAL}
    assert endpoint.timeout == timedelta(seconds=1.5)
    assert (endpoint.url.host, endpoint.url.port, endpoint.url.query_string) == (
        "example.com",
        443,
        "token=in-the-query",
    )


def test_a_subscription_without_headers_has_none() -> None:
    assert Endpoints(SEALER).endpoint_of(subscription(headers=None)).headers == {}


def test_a_version_is_opened_once_and_the_next_one_again() -> None:
    endpoints = Endpoints(SEALER)
    first = endpoints.endpoint_of(subscription())
    assert endpoints.endpoint_of(subscription()) is first
    second = endpoints.endpoint_of(subscription(version=2, keys=(b"another key of 24 bytes!",)))
    assert (second.version, second.keys) == (2, (b"another key of 24 bytes!",))
    assert endpoints.endpoint_of(subscription(version=2)) is second


NEW, OLD = b"the key of this moment..", b"the key before this one."
T = datetime(2026, 11, 21, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("expire_at", "at", "keys"),
    [
        ((), T, (NEW, OLD)),
        ((None, None), T, (NEW, OLD)),
        ((None, T), T - SECOND, (NEW, OLD)),  # the overlap of a rotation
        ((None, T), T, (NEW,)),
        ((None, T), T + SECOND, (NEW,)),
        ((T, None), T, (OLD,)),
        ((T,), T, (OLD,)),  # fewer times than secrets: the rest never expires
        ((T - SECOND, T), T, (NEW,)),  # all have: signed with the newest it can be told from a forgery
        ((None, None, T), T, (NEW, OLD)),
    ],
)
def test_a_key_signs_until_its_time(
    expire_at: tuple[datetime | None, ...], at: datetime, keys: tuple[bytes, ...]
) -> None:
    endpoint = Endpoints(SEALER).endpoint_of(subscription(keys=(NEW, OLD), expire_at=expire_at))
    assert endpoint.keys_at(at) == keys


def test_a_key_stops_signing_without_another_version_or_opening() -> None:
    endpoints, rotated = Endpoints(SEALER), subscription(keys=(NEW, OLD), expire_at=(None, T))
    endpoint = endpoints.endpoint_of(rotated)
    assert endpoint.keys_at(T - SECOND) == (NEW, OLD)
    assert endpoints.endpoint_of(rotated) is endpoint
    assert endpoint.keys_at(T) == (NEW,)


@pytest.mark.parametrize(
    "sealed_elsewhere",
    [
        subscription(organization="org_2"),  # copied into another organization's row
        subscription(identifier="sub_2"),
        subscription(sealer=sealer_of(new_master_key())),
        subscription(headers=b"no JSON, and secret"),
        subscription(keys=()),  # unsigned it would be anybody's
    ],
)
def test_what_does_not_open_here_is_unsendable_and_quotes_nothing(sealed_elsewhere: Subscription) -> None:
    with pytest.raises(Unsendable) as caught:
        Endpoints(SEALER).endpoint_of(sealed_elsewhere)
    assert "and secret" not in str(caught.value)


@pytest.mark.parametrize("headers", [b"[]", b'"x"', b'{"a": 1}', b"null"])
def test_headers_that_are_no_object_of_strings_are_unsendable(headers: bytes) -> None:
    with pytest.raises(Unsendable, match="headers"):
        Endpoints(SEALER).endpoint_of(subscription(headers=headers))


def test_an_endpoint_shows_its_host_and_no_secret() -> None:
    endpoint = Endpoints(SEALER).endpoint_of(subscription())
    for shown in (repr(endpoint), str(endpoint), f"{endpoint}"):
        assert "example.com" in shown
        for secret in (KEY.decode(), CREDENTIAL, "in-the-query"):
            assert secret not in shown


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("processors.endpoints._MOST_OPENED", 3)
    made_endpoints = Endpoints(made.SEALER)
    for each in (made.subscription() for _ in range(10)):
        assert made_endpoints.endpoint_of(each).url.host == "example.com"
        assert len(made_endpoints._opened) <= 3


def test_the_blocks_that_may_be_dialled_are_parsed_once_a_version() -> None:
    endpoints = Endpoints(SEALER)
    assert endpoints.endpoint_of(subscription()).allowed == ()
    listed = replace(subscription(version=2), allowed_addresses=("8.8.8.0/24", "2600:1f00::/24"))
    opened = endpoints.endpoint_of(listed)
    assert opened.allowed == (ip_network("8.8.8.0/24"), ip_network("2600:1f00::/24"))
    assert endpoints.endpoint_of(listed).allowed is opened.allowed


@pytest.mark.parametrize("text", ["", "everything", "8.8.8.8/24", "::ffff:8.8.8.8/128"])
def test_a_list_that_nobody_can_read_is_sent_to_nobody(text: str) -> None:
    """Never as if there were none."""
    with pytest.raises(Unsendable, match="the subscription's settings cannot be used"):
        Endpoints(SEALER).endpoint_of(replace(subscription(), allowed_addresses=("8.8.8.0/24", text)))
