"""Signing keys as a process has them: read from the database now and then, opened once."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from joserfc.jwk import OKPKey, RSAKey
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from api.database import transaction_of
from api.errors import Unavailable
from api.oauth.keys import ALGORITHMS, PUBLISHED_AHEAD, kept_keys, opens, private_jwk, rotate_if_due
from api.oauth.tables import SigningKeyRow
from api.settings import ApiSettings
from schemas.sealing import Sealer

Key = OKPKey | RSAKey
KEPT_S: Final = 30.0
RELOADED_AFTER_S: Final = 5.0  # made-up key ids must not become queries


@dataclass(frozen=True, slots=True)
class NamedKey:
    """A key, and the only algorithm that it is for (RFC 8725, 3.1)."""

    id: str
    algorithm: str
    key: Key = field(repr=False)


class SigningKeys:
    """Knows the keys that sign, and those by which tokens are verified."""

    def __init__(self, sealer: Sealer, settings: ApiSettings) -> None:
        self._sealer = sealer
        self._settings = settings
        self._rows: list[SigningKeyRow] = []
        self._public: dict[str, NamedKey] = {}
        self._private: dict[str, NamedKey] = {}
        self._read_at = float("-inf")

    async def signer(self, engine: AsyncEngine, algorithm: str) -> NamedKey:
        """Return the key that signs now, made if there is none; not to be called inside of a transaction.

        Raises DatabaseAway.
        """
        await self._refresh(engine)
        if (found := self._signing(algorithm)) is None or self._next_is_due(algorithm):
            await rotate_if_due(engine, self._sealer, self._settings)
            await self._read(engine)
            found = self._signing(algorithm)
        if found is None:  # another process's clock is ahead of ours by more than the key is old
            raise Unavailable("no key signs at this moment")
        return found

    async def ready(self, engine: AsyncEngine) -> None:
        """See to it that each algorithm has a key that signs: nothing may be given that cannot be signed then.

        Not to be called inside of a transaction. Raises DatabaseAway.
        """
        for algorithm in ALGORITHMS:
            await self.signer(engine, algorithm)

    async def published(self, engine: AsyncEngine) -> list[Mapping[str, str]]:
        """Return the public JWKs of all keys, also of those that will sign within a day; raises DatabaseAway."""
        await self.ready(engine)
        now = datetime.now(UTC)
        return [row.public_key for row in self._rows if row.expires_at > now]

    async def verifier(self, db: AsyncSession, kid: str) -> NamedKey | None:
        """Return the key of this id while what it signed may be valid; None for any other."""
        age_s = time.monotonic() - self._read_at
        if age_s > KEPT_S or (kid not in self._public and age_s > RELOADED_AFTER_S):
            self._keep(list(await kept_keys(db)))
        found = self._public.get(kid)
        now = datetime.now(UTC)
        return found if any(row.id == kid and row.expires_at > now for row in self._rows) else None

    async def _refresh(self, engine: AsyncEngine) -> None:
        if time.monotonic() - self._read_at > KEPT_S:
            await self._read(engine)

    async def _read(self, engine: AsyncEngine) -> None:
        async with transaction_of(engine) as db:
            self._keep(list(await kept_keys(db)))

    def _keep(self, rows: list[SigningKeyRow]) -> None:
        self._rows = rows
        self._public = {row.id: self._public.get(row.id) or _named(row, row.public_key) for row in rows}
        self._private = {
            row.id: self._private.get(row.id) or _named(row, private_jwk(row, self._sealer))
            for row in rows
            if row.id in self._private or opens(row, self._sealer)
        }
        self._read_at = time.monotonic()

    def _signing(self, algorithm: str) -> NamedKey | None:
        now = datetime.now(UTC)
        signing = [
            row.id for row in self._rows if row.algorithm == algorithm and row.signs_from <= now < row.signs_until
        ]
        return next((self._private[kid] for kid in reversed(signing) if kid in self._private), None)

    def _next_is_due(self, algorithm: str) -> bool:
        last = max(row.signs_until for row in self._rows if row.algorithm == algorithm and row.id in self._private)
        return last <= datetime.now(UTC) + PUBLISHED_AHEAD


def _named(row: SigningKeyRow, jwk: Mapping[str, str]) -> NamedKey:
    made = {name: value for name, value in jwk.items() if name not in ("alg", "use", "kid")}
    key = OKPKey.import_key(dict(made)) if row.algorithm == "EdDSA" else RSAKey.import_key(dict(made))
    return NamedKey(row.id, row.algorithm, key)
