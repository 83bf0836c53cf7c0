"""Why a subscription is behind: the workers, the projection and the API have the same words for it."""

import re

from api.projection.behind import REASONS as COUNTED
from api.subscriptions.standing import REASONS as TOLD
from processors.lanes.gate import Reason


def test_every_reason_that_a_worker_writes_is_counted_and_told() -> None:
    written = {reason.value for reason in Reason}
    assert written == set(COUNTED)
    assert written == set(re.findall(r"`(\w+)`", TOLD))
