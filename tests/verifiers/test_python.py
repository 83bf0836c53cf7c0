"""What `make verifiers` shows for three languages, held here for one: published vectors, ours, the window."""

import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from schemas.records import SignatureStyle
from schemas.signing import SIGNATURE_HEADERS, key_of, signed_headers
from tests.verifiers import pages, python
from tests.verifiers.cases import Case, fixed, of_this_moment, published, recorded


def claim_of(case: Case) -> str:
    return f"{case.style}: {case.claim}"


@pytest.mark.parametrize("case", published(), ids=claim_of)
def test_we_sign_as_the_published_vectors_are_signed(case: Case) -> None:
    if case.style is SignatureStyle.STANDARD:
        key, at = key_of(case.secret), int(case.headers["webhook-timestamp"])
    else:
        key, at = case.secret.encode(), 1533204620
    identifier, moment = case.headers.get("webhook-id", ""), datetime.fromtimestamp(at, UTC)
    headers = signed_headers(identifier, case.body.encode(), [key], at=moment, style=case.style)
    assert headers[SIGNATURE_HEADERS[case.style]] == case.signature


def test_what_was_recorded_and_judged_by_three_languages_is_what_we_sign() -> None:
    """When this fails on purpose, `make verifiers` comes first."""
    assert recorded() == fixed()


@pytest.mark.parametrize("case", [*published(), *recorded()], ids=claim_of)
def test_pythons_libraries_accept_it_and_nothing_else(case: Case) -> None:
    assert python.accepts(case)
    broken = re.sub("(v1[,=]|sha256=)(.)", lambda it: it[1] + ("1" if it[2] == "0" else "0"), case.signature)
    assert not python.accepts(replace(case, signature=broken))
    assert not python.accepts(replace(case, body=case.body + "\n"))


def test_the_window_is_the_attempts_own_five_minutes() -> None:
    cases = of_this_moment(datetime.now(UTC))
    assert [claim_of(case) for case in cases if python.accepts(case) is not case.accepted] == []
    assert {case.accepted for case in cases} == {True, False}


def test_the_pages_python_accepts_and_refuses_the_same() -> None:
    assert set(pages.examples("python")) == set(pages.examples("javascript")) == set(SignatureStyle)
    both = [each for each in recorded() if each.style is SignatureStyle.HEX]  # of any time
    cases = [*of_this_moment(datetime.now(UTC)), *both]
    assert [claim_of(case) for case in cases if pages.accepts(case) is not case.accepted] == []
