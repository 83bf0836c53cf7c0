"""docs/filters.md says what is so."""

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from schemas.filters import FilterFailed
from schemas.filters import dialects as limits
from schemas.filters.costs import LONGEST_REGEX
from schemas.filters.expressions import LONGEST_EXPRESSION, is_available
from schemas.patterns import matches
from tests.schemas.filters.events import event, takes

DOCUMENT = (Path(__file__).parents[3] / "docs" / "filters.md").read_text()
ROWS = re.findall(r"^\| `(.+)` \| (yes|no|fails) \|$", DOCUMENT, re.MULTILINE)


def described() -> dict[str, Any]:
    found = re.search(r"```json\n(.+?)```", DOCUMENT, re.DOTALL)
    assert found
    given = json.loads(found[1])
    return {**given, "created_at": datetime.fromisoformat(given["created_at"])}


def test_all_rows_are_read() -> None:
    assert len(ROWS) == 25
    assert {said for _, said in ROWS} == {"yes", "no", "fails"}


@pytest.mark.parametrize(("text", "said"), ROWS)
def test_an_example_does_what_is_said(text: str, said: str) -> None:
    filters = orjson.loads(text) if text.startswith("{") else {"cel": text}
    if not is_available() and "cel" in str(filters):
        pytest.skip("cel-expr-python has no wheel for this machine")
    if said == "fails":
        with pytest.raises(FilterFailed):
            takes([filters], event(**described()))
    else:
        assert takes([filters], event(**described())) is (said == "yes")


def test_the_patterns_are_those_that_are_described() -> None:
    assert matches("user.*", "user.mfa.enabled")
    assert matches("*", "user.created")
    assert not matches("user.created", "user.created.again")


def test_the_limits_are_those_that_are_described() -> None:
    text = " ".join(DOCUMENT.split())
    assert f"At most {limits.MOST_FILTERS} filters in all, {limits.DEEPEST} levels" in text
    assert f"{limits.MOST_EXPRESSIONS} expressions, values of {limits.LONGEST_VALUE:,} characters" in text
    assert f"at most {LONGEST_EXPRESSION:,} characters" in text
    assert f"up to {LONGEST_REGEX} characters" in text
    assert all(f'`{{"{dialect}"' in text for dialect in limits.DIALECTS)
