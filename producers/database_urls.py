"""PostgreSQL's URLs, as libpq and as SQLAlchemy write them."""


def libpq_url(url: str) -> str:
    """Return libpq's form, `postgresql://…`, of a URL that may be SQLAlchemy's (`postgresql+asyncpg://…`).

    Raises ValueError for another database's, which says so without the URL: there is a password in it.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.partition("+")[0] not in ("postgresql", "postgres"):
        raise ValueError("must begin with postgresql://")
    return f"postgresql://{rest}"
