"""The examples of docs/signatures.md, as a reader would copy them."""

import os
import re
from pathlib import Path
from typing import Any

from schemas.records import SignatureStyle
from tests.verifiers.cases import Case

PAGE = (Path(__file__).parents[2] / "docs" / "signatures.md").read_text()
_EXAMPLE = re.compile(r"<!-- verify (\w+) -->\n```(\w+)\n(.*?)```", re.DOTALL)


def examples(language: str) -> dict[SignatureStyle, str]:
    """Return the page's example for each style."""
    return {SignatureStyle(style): code for style, its, code in _EXAMPLE.findall(PAGE) if its == language}


def accepts(case: Case) -> bool:
    """Return whether the page's Python accepts a request."""
    os.environ["WEBHOOK_SECRET"] = case.secret
    example: dict[str, Any] = {}
    exec(examples("python")[case.style], example)  # the page is ours
    try:
        example["verify"](case.body.encode(), case.headers)
    except Exception:  # noqa: BLE001 - each library has errors of its own, and all of them mean no
        return False
    finally:
        del os.environ["WEBHOOK_SECRET"]
    return True
