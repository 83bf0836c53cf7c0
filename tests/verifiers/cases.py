"""What the verifiers judge: published vectors, ours of fixed moments, and ours of this moment, some of them bad."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter

from schemas.records import SignatureStyle
from schemas.signing import SIGNATURE_HEADERS, hmac_key, key_of, signed_headers

FIXTURE: Final = Path(__file__).parent / "vectors.json"
WINDOW: Final = timedelta(minutes=5)  # of every library here: more than this ago is a replay
SLACK: Final = timedelta(seconds=20)  # for a slow machine between signing and judging

NEW: Final = "whsec_YSBzZWNyZXQgb2YgcmFuZG9tIGJ5dGVzIP/+/fz7+g=="  # bytes that are no text: what Hookline makes
OLD: Final = "whsec_/////////////////////////////////////////w=="
BROUGHT_TEXT: Final = "5f2b9c0e7d41a8365f2b9c0e7d41a8365f2b9c0e7d41a8365f2b9c0e7d41a836"  # what the receiver has
BROUGHT: Final = "whsec_NWYyYjljMGU3ZDQxYTgzNjVmMmI5YzBlN2Q0MWE4MzY1ZjJiOWMwZTdkNDFhODM2NWYyYjljMGU3ZDQxYTgzNg=="
BODY: Final = '{"id":"evt_1","type":"quest.completed","data":{"name":"Zoë ✓","n":1.0}}\n'


@dataclass(frozen=True, slots=True)
class Case:
    """One request as a receiver has it, and the secret as its library takes it; `any_time` leaves the window out."""

    claim: str
    style: SignatureStyle
    secret: str
    signature: str
    body: str
    headers: dict[str, str]
    accepted: bool = True
    any_time: bool = False

    def judged_by(self, answer: bool) -> str:
        """Return the claim and how it went, for a person."""
        return f"{'passed' if answer is self.accepted else 'FAILED'}: {self.style:11} {self.claim}"


def signed(
    style: SignatureStyle,
    secrets: Sequence[str],
    *,
    at: datetime,
    verified_with: str,
    claim: str,
    name: str | None = None,
    second: bool = False,
    accepted: bool = True,
    any_time: bool = False,
    body: str = BODY,
) -> Case:
    """Return a case of ours; `second` judges the header that the hex style has beside its own during a rotation."""
    keys = [hmac_key(key_of(secret), style) for secret in secrets]
    headers = signed_headers("evt_1", BODY.encode(), keys, at=at, style=style, name=name)
    signature = headers[(name or SIGNATURE_HEADERS[style]) + ("-next" if second else "")]
    return Case(claim, style, verified_with, signature, body, headers, accepted, any_time)


def fixed() -> list[Case]:
    """Return what vectors.json holds of ours: fixed moments, so that these bytes can be compared for ever."""
    at = datetime(2026, 11, 21, 12, tzinfo=UTC)
    cases = []
    for style in SignatureStyle:
        text = BROUGHT if style is SignatureStyle.STANDARD else BROUGHT_TEXT
        cases += [
            signed(style, [NEW], at=at, verified_with=NEW, any_time=True, claim="a secret made by Hookline"),
            signed(style, [BROUGHT], at=at, verified_with=text, any_time=True, claim="a secret brought along"),
            signed(style, [NEW, OLD], at=at, verified_with=OLD, any_time=True, claim="rotating, receiver has the old"),
        ]
        if style is not SignatureStyle.HEX:
            claim = "rotating, receiver has the new"
            cases.append(signed(style, [NEW, OLD], at=at, verified_with=NEW, any_time=True, claim=claim))
    claim = "rotating, receiver has the new and reads the second header"
    cases.append(signed(SignatureStyle.HEX, [NEW, OLD], at=at, verified_with=NEW, second=True, claim=claim))
    return cases


def of_this_moment(now: datetime) -> list[Case]:
    """Return what depends on the receiver's clock, and what must be refused."""
    cases = []
    for style in SignatureStyle:
        cases += [
            signed(style, [NEW], at=now, verified_with=NEW, claim="an attempt of now, whenever its event was"),
            signed(style, [OLD], at=now, verified_with=NEW, claim="another secret", accepted=False),
            signed(style, [NEW], at=now, verified_with=NEW, claim="another body", accepted=False, body=BODY + " "),
        ]
    for style in (SignatureStyle.STANDARD, SignatureStyle.TIMESTAMPED):
        earlier, before = now - WINDOW + SLACK, now - WINDOW - timedelta(seconds=2)
        cases += [
            signed(style, [NEW], at=earlier, verified_with=NEW, claim="on its way for almost 5 minutes"),
            signed(style, [NEW], at=before, verified_with=NEW, claim="replayed 5 minutes later", accepted=False),
            signed(style, [NEW], at=now - timedelta(days=1), verified_with=NEW, claim="of yesterday", accepted=False),
        ]
    return cases


def published() -> list[Case]:
    """Return the vectors that others published."""
    return _fixture()["published"]


def recorded() -> list[Case]:
    """Return ours as they were recorded."""
    return _fixture()["ours"]


def _fixture() -> dict[str, list[Case]]:
    return TypeAdapter(dict[str, list[Case]]).validate_json(FIXTURE.read_bytes())


def as_json(cases: Sequence[Case]) -> str:
    """Return the cases as the verifiers of other languages read them."""
    return json.dumps([asdict(case) for case in cases])
