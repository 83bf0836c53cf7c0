"""Seeing to it that the next signing key is there a day before it signs, also when nobody asks for a token."""

import asyncio
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from api.database import DatabaseAway, engine_of
from api.oauth.keys import rotate_if_due
from api.settings import ApiSettings

log = structlog.get_logger("api.oauth.keeping")

EVERY_S: Final = 3600.0  # a day ahead leaves room for some that fail


class KeyKeeper:
    """Makes signing keys that are due until it is cancelled; any number may do so at once."""

    def __init__(self, settings: ApiSettings, *, every_s: float = EVERY_S) -> None:
        """Prepare; nothing is connected before `run`. Raises UnfitSettings."""
        self._settings = settings.model_copy(update={"database_connections": 1})
        self._sealer = settings.sealer()
        self._every_s = every_s

    async def run(self) -> None:
        """Look at once and then every hour; PostgreSQL may be away meanwhile, or not upgraded yet."""
        engine = engine_of(self._settings)
        try:
            while True:
                try:
                    await rotate_if_due(engine, self._sealer, self._settings)
                except (DatabaseAway, SQLAlchemyError) as error:
                    log.warning("oauth.keys_not_kept", error=type(error).__name__)
                await asyncio.sleep(self._every_s)
        finally:
            await engine.dispose()
