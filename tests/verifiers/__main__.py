"""`make verifiers`: others' libraries judge signatures, the OAuth server, AsyncAPI and what services publish.

It ends with how many passed. Their packages are locked by hash (package-lock.json, go.sum) and fetched into .tools.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, cast

from tests.verifiers import asyncapi, oauth, pages, python, services
from tests.verifiers.cases import Case, as_json, of_this_moment, published, recorded

HERE: Final = Path(__file__).parent
Judge = Callable[[list[Case]], list[bool]]
TOOLS: Final = HERE.parents[1] / ".tools" / "verifiers"
GO_JUDGE: Final = TOOLS / "go-judge"


def page_in_javascript(cases: list[Case]) -> list[bool]:
    """Return what the examples of docs/signatures.md say on Node, with the packages that `javascript` fetched."""
    folder = TOOLS / "javascript"
    for style, code in pages.examples("javascript").items():
        (folder / f"{style}.mjs").write_text(code)
    return _answers([_tool("node"), "page.mjs"], folder, cases)


def javascript(cases: list[Case]) -> list[bool]:
    """Return what standardwebhooks, stripe and @octokit/webhooks-methods say on Node."""
    return _answers([_tool("node"), "verify.mjs"], TOOLS / "javascript", cases)


def go(cases: list[Case]) -> list[bool]:
    """Return what standard-webhooks, stripe-go and go-github say."""
    return _answers([str(GO_JUDGE)], HERE / "go", cases)


def fetch() -> None:
    """Fetch and build what judges: before there are cases, for some of them are good for seconds only."""
    folder = TOOLS / "javascript"
    shutil.copytree(HERE / "javascript", folder, dirs_exist_ok=True)
    quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
    subprocess.run([_tool("npm"), "ci", *quiet], cwd=folder, check=True, stdout=sys.stderr)
    kept = {"GOMODCACHE": str(TOOLS / "go-modules"), "GOCACHE": str(TOOLS / "go-cache"), "GOTOOLCHAIN": "local"}
    flags = {"GOFLAGS": "-mod=readonly -modcacherw"}
    build = [_tool("go"), "build", "-o", str(GO_JUDGE), "."]
    subprocess.run(build, cwd=HERE / "go", env=os.environ | kept | flags, check=True)


def _answers(command: list[str], folder: Path, cases: list[Case]) -> list[bool]:
    run = subprocess.run(command, cwd=folder, input=as_json(cases), stdout=subprocess.PIPE, check=True, text=True)
    return cast(list[bool], json.loads(run.stdout))


def _tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise SystemExit(f"make verifiers needs {name}: install Node 20+ and Go 1.24+")
    return found


def main() -> int:
    """Judge everything in every language; return 1 when any verdict is not the one that was expected."""
    fetch()
    failed = passed = 0
    judges: tuple[tuple[str, Judge], ...] = (
        ("Python", lambda cases: [python.accepts(case) for case in cases]),
        ("JavaScript", javascript),
        ("Go", go),
        ("page, Python", lambda cases: [pages.accepts(case) for case in cases]),
        ("page, JavaScript", page_in_javascript),
    )
    for language, verdicts_of in judges:
        cases = of_this_moment(datetime.now(UTC))
        if not language.startswith("page"):  # its examples look at the clock, and for our own names of headers
            cases += [*published(), *recorded()]
        for case, verdict in zip(cases, verdicts_of(cases), strict=True):
            print(f"{language:16}  {case.judged_by(verdict)}")
            failed, passed = failed + (verdict is not case.accepted), passed + (verdict is case.accepted)
    for what, is_so in asyncapi.judged(TOOLS / "javascript").items():
        print(f"@asyncapi/specs   {'ok' if is_so else 'FAILED'}  {what}")
        failed, passed = failed + (not is_so), passed + is_so
    for name, judged in (("oauth4webapi", oauth.judged), ("kafkajs", services.judged)):
        for flow, went_well in judged(TOOLS / "javascript", _tool("node")).items():
            print(f"{name:16}  {'ok' if went_well else 'FAILED'}  {flow}")
            failed, passed = failed + (not went_well), passed + went_well
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
