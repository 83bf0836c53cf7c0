"""A secret rotates while deliveries flow: a receiver with the old one and a receiver with the new one miss nothing."""

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from api.subscriptions.bodies import NewSubscription
from api.subscriptions.changes import row_of
from api.subscriptions.rotation import rotate
from api.subscriptions.tables import SubscriptionRow, record_of
from processors.endpoints import Endpoint, Endpoints
from processors.sending import Sender
from schemas.ids import OrganizationId
from schemas.records import SignatureStyle
from schemas.signing import SIGNATURE_HEADERS, new_secret
from tests.processors.made import SEALER, delivery
from tests.processors.receivers import Receiver, answers
from tests.verifiers import python
from tests.verifiers.cases import Case

OVERLAP = timedelta(milliseconds=300)
AT_ONCE = 8
ROTATIONS = 3

pytestmark = pytest.mark.timeout(60)


@dataclass
class Flow:
    """Deliveries to one subscription, one after the other at eight places, with its settings as they are then."""

    sender: Sender
    row: SubscriptionRow
    style: SignatureStyle
    secrets: list[str]  # the one of version n is the n-th
    expiries: list[datetime]

    def __post_init__(self) -> None:
        self.endpoints, self.sent, self.stopped = Endpoints(SEALER), list[tuple[str, int, datetime]](), False
        self.moved = asyncio.Condition()

    def endpoint(self) -> Endpoint:
        return self.endpoints.endpoint_of(replace(record_of(self.row), signature_style=self.style))

    async def run(self) -> None:
        while not self.stopped:
            owed, to = delivery(), self.endpoint()
            outcome = await self.sender.send(owed, to)
            assert outcome.is_success
            async with self.moved:
                self.sent.append((owed.event_id, to.version, outcome.started_at))
                self.moved.notify_all()

    async def until_sent(self, count: int, *, since: datetime) -> None:
        async with self.moved:
            await self.moved.wait_for(lambda: sum(at >= since for _, _, at in self.sent) >= count)

    def rotate(self) -> None:
        now, secret = datetime.now(UTC), new_secret()
        rotate(self.row, secret, overlap=OVERLAP, now=now, sealer=SEALER)
        self.row.version += 1
        self.secrets.append(secret)
        self.expiries.append(now + OVERLAP)


@pytest.mark.parametrize("style", SignatureStyle)
async def test_no_delivery_is_refused_by_both_and_after_its_expiry_the_old_secret_verifies_none(
    style: SignatureStyle,
) -> None:
    new = NewSubscription(url="https://example.com", event_types=["*"])
    async with (
        Receiver(answers(204)) as receiver,
        Sender(most_at_once=AT_ONCE, allow_loopback=True, user_agent="Hookline/test") as sender,
    ):
        row, secret = row_of(new, url=receiver.url, organization_id=OrganizationId("org_1"), sealer=SEALER)
        flow = Flow(sender, row, style, [secret], [datetime.now(UTC)])
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(flow.run())
            for _ in range(ROTATIONS):
                await flow.until_sent(20, since=flow.expiries[-1])
                flow.rotate()
            await flow.until_sent(20, since=flow.expiries[-1])
            flow.stopped = True
    requests = {request.headers["webhook-id"]: request for request in receiver.requests}
    counted = {"overlapping": 0, "after": 0}
    for event_id, version, started_at in flow.sent:
        if version == 0:
            continue
        request, name = requests[event_id], SIGNATURE_HEADERS[style]
        body, headers = request.body.decode(), request.headers

        def accepts(secret: str, name: str, body: str = body, headers: dict[str, str] = headers) -> bool:
            return name in headers and python.accepts(Case("", style, secret, headers[name], body, headers))

        by_old, by_new = (accepts(flow.secrets[at], name) for at in (version - 1, version))
        assert by_old or by_new
        if started_at < flow.expiries[version]:
            counted["overlapping"] += 1
            assert by_old
            assert by_new or accepts(flow.secrets[version], f"{name}-next")
        else:
            counted["after"] += 1
            assert by_new
            assert not by_old
            assert f"{name}-next" not in headers
    assert min(counted.values()) >= 20 * ROTATIONS
