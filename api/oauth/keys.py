"""The keys that sign access tokens: made, published a day before they sign, and forgotten after their last token.

Every process that needs one makes it when none is there, under one lock, so that no job has to have run before the
first token. Private keys are kept sealed; what verifies needs public ones only.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import orjson
import structlog
from joserfc.jwk import OKPKey, RSAKey
from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from api.database import transaction_of
from api.oauth.tables import SigningKeyRow
from api.settings import ApiSettings
from schemas.sealing import Sealer, SealingError

log = structlog.get_logger("api.oauth.keys")

ALGORITHMS: Final = ("EdDSA", "RS256")
SIGNING_KEY_PURPOSE: Final = "oauth-signing-key"  # a JWK, sealed to no organization: it signs for all
PUBLISHED_AHEAD: Final = timedelta(days=1)  # whoever keeps the JWKS for a day knows a key before it signs
_LAST_TOKEN: Final = timedelta(days=1, minutes=5)  # the longest `access_token_lifetime_s`, and clocks that differ
_RSA_BITS: Final = 2048  # RFC 7518, 3.3: at least
_LOCK: Final = 0x686B_6A77_6B73  # "hkjwks", an advisory lock of PostgreSQL's


async def rotate_if_due(engine: AsyncEngine, sealer: Sealer, settings: ApiSettings) -> int:
    """Make the next key of each algorithm when it is time, forget those that nothing needs; return how many were made.

    It may be called by any number of processes at once, as often as they like.
    """
    async with transaction_of(engine) as db:
        await db.execute(select(func.pg_advisory_xact_lock(_LOCK)))
        now = datetime.now(UTC)
        await db.execute(delete(SigningKeyRow).where(SigningKeyRow.expires_at <= now))
        kept = await kept_keys(db)
        due = [(each, starts) for each in ALGORITHMS if (starts := _starts_at(each, kept, sealer, now)) is not None]
        for algorithm, signs_from in due:
            row = await _new_key(algorithm, sealer, now=now, signs_from=signs_from, days=settings.signing_key_days)
            db.add(row)
            log.info("oauth.key_made", kid=row.id, algorithm=algorithm, signs_from=signs_from.isoformat())
    return len(due)


async def kept_keys(db: AsyncSession) -> Sequence[SigningKeyRow]:
    """Return all keys, those that sign last at the end; they are few."""
    return (
        (await db.execute(select(SigningKeyRow).order_by(SigningKeyRow.signs_from, SigningKeyRow.id))).scalars().all()
    )


def private_jwk(row: SigningKeyRow, sealer: Sealer) -> dict[str, str]:
    """Return a key's private JWK (RFC 7517); raises SealingError."""
    plain = sealer.open(row.private_key, organization="", row=row.id, purpose=SIGNING_KEY_PURPOSE)
    jwk: dict[str, str] = orjson.loads(plain)
    return jwk


def opens(row: SigningKeyRow, sealer: Sealer) -> bool:
    """Return whether the master keys that are here open a key."""
    try:
        private_jwk(row, sealer)
    except SealingError as error:
        log.warning("oauth.key_not_opened", kid=row.id, error=str(error))
        return False
    return True


def _starts_at(algorithm: str, kept: Sequence[SigningKeyRow], sealer: Sealer, now: datetime) -> datetime | None:
    """Return when the key that has to be made now will sign from; None: none has to."""
    until = max((row.signs_until for row in kept if row.algorithm == algorithm and opens(row, sealer)), default=now)
    return max(now, until) if until <= now + PUBLISHED_AHEAD else None


async def _new_key(algorithm: str, sealer: Sealer, *, now: datetime, signs_from: datetime, days: int) -> SigningKeyRow:
    # A thread: 2,048 bits take a tenth of a second.
    key = (
        OKPKey.generate_key("Ed25519")
        if algorithm == "EdDSA"
        else await asyncio.to_thread(RSAKey.generate_key, _RSA_BITS)
    )
    kid = key.thumbprint()
    signs_until = signs_from + timedelta(days=days)
    public = {name: str(value) for name, value in key.as_dict(private=False).items() if name != "kid"}
    return SigningKeyRow(
        id=kid,
        algorithm=algorithm,
        private_key=sealer.seal(
            orjson.dumps(key.as_dict(private=True)), organization="", row=kid, purpose=SIGNING_KEY_PURPOSE
        ),
        public_key={**public, "kid": kid, "alg": algorithm, "use": "sig"},
        created_at=now,
        signs_from=signs_from,
        signs_until=signs_until,
        expires_at=signs_until + _LAST_TOKEN,
    )
