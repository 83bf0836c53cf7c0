"""What PostgreSQL's catalogue says of the role that requests run as."""

from collections.abc import Mapping

import asyncpg

ROLE = "hookline_tenant"

# Partitions (schema `days`) are reached through their table: the role may not even look into their schema.
_TABLES = """
SELECT relname, relrowsecurity,
    ARRAY(SELECT privilege FROM unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) privilege
        WHERE has_table_privilege('hookline_tenant', c.oid, privilege)),
    ARRAY(SELECT polname::text FROM pg_policy WHERE polrelid = c.oid)
FROM pg_class c WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY relname
"""

Table = tuple[bool, frozenset[str], frozenset[str]]  # is it secured, what is granted, which policies


async def tables_of(url: str) -> Mapping[str, Table]:
    """Return what each table of a database lets the role do."""
    connection = await asyncpg.connect(url)
    found = await connection.fetch(_TABLES)
    await connection.close()
    return {name: (secured, frozenset(grants), frozenset(policies)) for name, secured, grants, policies in found}
