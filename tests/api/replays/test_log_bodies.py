"""What a replay of the log would send, as JSON and in words."""

import json

import pytest

from api.replays.estimating import Estimate, Weighed
from api.replays.log_bodies import shown_estimate
from compose.showing.replays import print_estimate


@pytest.mark.parametrize("rate_per_s", [5e-324, 1e-300, 1.0])
def test_however_slow_it_is_it_can_be_said_how_long_it_takes(
    rate_per_s: float, capsys: pytest.CaptureFixture[str]
) -> None:
    estimate = Estimate({"user.created": Weighed(events=3, sampled=3, sent=3)}, 0, is_estimate=False)
    body = shown_estimate(estimate, rate_per_s=rate_per_s).model_dump()
    print_estimate(json.loads(json.dumps(body, allow_nan=False)))
    assert "at least" in capsys.readouterr().out
