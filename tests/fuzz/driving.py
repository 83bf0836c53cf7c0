"""Requests from the description, sent one by one and checked: schemathesis makes and judges them, we count.

Every operation of the document takes part, in turn: with what the description allows and with what it forbids, with
made-up ids and with ids of things that are there. A route that is added later is found without a change here.
"""

import itertools
import json
import time
import unittest
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis.errors import HypothesisException
from hypothesis.strategies import DrawFn, SearchStrategy, composite
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.errors import InvalidSchema
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Err, Ok
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.fuzz.calling import TURNS, Headers

# Not positive_data_acceptance: what a name, an address or a filter means is checked beyond what JSON Schema can say.
CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
    negative_data_rejection,
]
CONFIG: Final = {
    "generation": {"with-security-parameters": False},  # who calls is another test's subject
    "checks": {"negative_data_rejection": {"expected-statuses": ["4xx"]}},
}
_MOST_AT_A_TIME: Final = 40  # requests of one kind, then the next kind
_MOST_SECONDS: Final = 5.0  # for them: a route that waits for others must not take all the time
_MOST_TRIES: Final = 40  # to make the first: nothing can be wrong about an id in a path, and to see that took 2 s


@schemathesis.serializer("application/x-ndjson")
def _as_a_line(_: Any, value: Any) -> bytes:
    """Return one line of a stream; schemathesis knows no way to write them."""
    return json.dumps(value).encode() + b"\n"


_Operation = APIOperation[Any, Any, Any, Any]
Found = Mapping[str, list[str]]
Find = Callable[[], tuple[Found, Mapping[str, Headers]]]
Progress = Callable[["Findings"], None]


@dataclass
class Findings:
    """What was sent, by operation and status, and what should not have happened, each breach once."""

    inputs: int = 0
    answers: dict[str, Counter[int]] = field(default_factory=dict)
    modes: Counter[str] = field(default_factory=Counter)
    callers: Counter[str] = field(default_factory=Counter)
    breaches: dict[str, str] = field(default_factory=dict)

    def note(self, case: Case[Any], who: str, status: int) -> None:
        """Count an answer."""
        self.inputs += 1
        self.callers[who] += 1
        self.answers.setdefault(case.operation.label, Counter())[status] += 1
        self.modes["forbidden" if case.meta and case.meta.generation.mode.is_negative else "allowed"] += 1


@dataclass(frozen=True)
class _Kind:
    """One operation, one way to make requests for it."""

    operation: _Operation
    mode: GenerationMode
    finds: bool

    def strategy(self, found: Mapping[str, list[str]]) -> SearchStrategy[Case[Any]]:
        path = _existing(self.operation, found) if self.finds else {}
        return self.operation.as_strategy(generation_mode=self.mode, path_parameters=path or None)


class _TookLong(Exception):
    """This kind had its time."""


def fuzz(
    url: str,
    document: dict[str, Any],
    *,
    inputs: int,
    seed: int,
    find: Find,
    progress: Progress = lambda _: None,
) -> Findings:
    """Send at least `inputs` requests and return what was found.

    `find` makes things that ids can name, and says what the requests of each caller carry.
    """
    schema = schemathesis.openapi.from_dict(document, config=schemathesis.Config.from_dict(CONFIG))
    # What deletes goes last: what others need would not be there any more.
    operations = sorted(map(_read, schema.get_all_operations()), key=lambda operation: operation.method == "delete")
    findings, rounds = Findings(), 0
    kinds = [*_kinds(operations)]
    with requests.Session() as session:
        session.trust_env = False
        while findings.inputs < inputs and kinds:
            found, callers = find()
            share = max(2, min(_MOST_AT_A_TIME, -(-inputs // len(kinds))))
            for kind in list(kinds):
                before = findings.inputs
                _send(kind.strategy(found), url, session, callers, findings, count=share, seed=seed + rounds)
                if findings.inputs == before:
                    kinds.remove(kind)  # nothing can be made of it: no parameter that could be wrong, for one
                progress(findings)
            rounds += 1
    return findings


def _read(found: Ok[_Operation] | Err[InvalidSchema]) -> _Operation:
    if isinstance(found, Err):
        raise found.err()  # our description is wrong
    return found.ok()


def _kinds(operations: list[_Operation]) -> Iterator[_Kind]:
    for operation in operations:
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            yield _Kind(operation, mode, finds=False)
            if operation.path_parameters:
                yield _Kind(operation, mode, finds=True)


def _existing(operation: _Operation, found: Mapping[str, list[str]]) -> dict[str, str]:
    """Return a value for each parameter of the path; what stands before it says what it names."""
    parts = operation.path.split("/")
    named = {part.strip("{}"): before for before, part in pairwise(parts) if part.startswith("{")}
    return {name: found[collection][0] for name, collection in named.items() if found.get(collection)}


def _send(
    cases: SearchStrategy[Case[Any]],
    url: str,
    session: requests.Session,
    callers: Mapping[str, Headers],
    findings: Findings,
    *,
    count: int,
    seed: int,
) -> None:
    began, before, tries = time.monotonic(), findings.inputs, itertools.count(1)

    @composite
    def tried(draw: DrawFn) -> Case[Any]:
        if findings.inputs == before and next(tries) > _MOST_TRIES:
            raise _TookLong
        return draw(cases)

    @seeded(seed)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=tried())
    def send(case: Case[Any]) -> None:
        if time.monotonic() - began > _MOST_SECONDS:
            raise _TookLong
        who = TURNS[findings.inputs % len(TURNS)]
        _send_one(case, url, session, findings, who=who, headers=callers[who])

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # hypothesis' and schemathesis' own, of the schemas they cannot negate
            send()
    except (_TookLong, unittest.SkipTest, HypothesisException):  # Unsatisfiable: nothing (more) can be made
        return


def _send_one(
    case: Case[Any], url: str, session: requests.Session, findings: Findings, *, who: str, headers: Headers
) -> None:
    response = case.call(base_url=url, session=session, headers=dict(headers), timeout=60)
    session.cookies.clear()
    findings.note(case, who, response.status_code)
    try:
        case.validate_response(response, checks=CHECKS)
    except FailureGroup as group:
        for failure in group.exceptions:
            name = f"{case.operation.label}: {type(failure).__name__} ({response.status_code}, {who})"
            told = f"{failure}\n{response.text[:500]}\n{case.as_curl_command()[:1000]}"
            findings.breaches.setdefault(name, told)
