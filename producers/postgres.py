"""PostgreSQL away, as asyncpg says it."""

from typing import Final

import asyncpg

# TimeoutError is an OSError. InternalClientError ("cannot switch to state …; another operation is in progress") is what
# a query gets between the server's last word and the end of the connection (asyncpg/protocol/coreproto.pyx).
AWAY: Final = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What a statement or a connection raises when PostgreSQL is away, or will not have it: try again with a new one."""
