"""PostgreSQL URLs: what libpq or SQLAlchemy writes is taken, and what is none is refused without its password."""

import asyncpg
import pytest

from producers.database_urls import libpq_url


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://",
        "postgresql:///db?host=/run/postgresql&port=5433",
        "postgresql://127.0.0.1:5432/db",
        "postgresql://billing@db/billing?search_path=billing",
        "postgresql://billing:p%40ss%2Fw%3A@[::1]:5432/db?sslmode=require&application_name=a%20b",
        "postgresql://u:p:p@one:5432,two,10.0.0.1:5433/db?target_session_attrs=read-write",
    ],
)
def test_what_libpq_writes_stays_as_it_is(url: str) -> None:
    assert libpq_url(url) == url
    assert libpq_url(url.replace("postgresql://", "postgresql+psycopg://", 1)) == url


@pytest.mark.parametrize(
    "password", ["hush/hush", "hush#hush", "hush?hush", "hush@hush", "hush@hush:hush", "[hush]", "h[ush"]
)
def test_a_password_that_is_not_encoded_is_not_quoted(password: str) -> None:
    with pytest.raises(ValueError, match="@ is %40, / is %2F, # is %23") as refused:
        libpq_url(f"postgresql://billing:{password}@127.0.0.1:5432/db")
    assert "hush" not in f"{refused.value!r} {refused.value.__cause__!r}"
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


@pytest.mark.postgres
async def test_what_sqlalchemy_hands_to_asyncpg_as_ssl_is_libpqs_sslmode(database_url: str) -> None:
    url = database_url.replace("postgresql://", "postgresql+asyncpg://", 1)
    added = f"{url}{'&' if '?' in url else '?'}ssl=prefer&application_name=a%20b"
    connection = await asyncpg.connect(libpq_url(added))
    assert await connection.fetchval("SHOW application_name") == "a b"
    await connection.close()
