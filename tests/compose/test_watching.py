"""How far a replay is, in a line."""

import pytest

from compose.watching import Sight, line_of
from tests.compose.bodies import replay


@pytest.mark.parametrize(
    ("first", "later", "after_s", "line"),
    [
        ({}, {}, 0, "running  0 of 10"),
        ({"state": "pending", "total": 0}, {"state": "pending", "total": 0}, 5, "pending  0 of 0"),
        ({"total": 5000}, {"total": 5000, "succeeded": 1000, "failed": 20}, 10,
         "running  1,020 of 5,000  1,000 succeeded, 20 failed  102/s  about 0:00:39 left"),
        ({"succeeded": 4}, {"succeeded": 6}, 4, "running  6 of 10  6 succeeded  0.5/s  about 0:00:08 left"),
        ({}, {"state": "cancelled", "succeeded": 1, "held": 2, "cancelled": 7}, 9,
         "cancelled  10 of 10  1 succeeded, 2 held, 7 cancelled"),
        ({"log": {"read": 0, "total": 1000}, "total": 0}, {"log": {"read": 200, "total": 1000}, "succeeded": 40}, 4,
         "running  200 of 1,000 of the log  40 succeeded  10/s  about 0:00:16 left"),
        ({"log": {"read": 0, "total": 5}}, {"log": {"read": 5, "total": 5}, "state": "completed", "succeeded": 10}, 4,
         "completed  10 of 10  10 succeeded"),
    ],
)  # fmt: skip
def test_says_counts_rate_and_how_long_the_rest_takes(
    first: dict[str, object], later: dict[str, object], after_s: float, line: str
) -> None:
    assert line_of(Sight(replay(**later), 100 + after_s), Sight(replay(**first), 100)) == line
