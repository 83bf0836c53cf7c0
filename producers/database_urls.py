"""PostgreSQL's URLs, as libpq and as SQLAlchemy write them."""

import re
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

_HOSTS: Final = re.compile(r"(?:(?:\[[^\[\]@]*\]|[^\[\]@:,]*)(?::[0-9]*)?(?:,|$))*")


def libpq_url(url: str) -> str:
    """Return libpq's form, `postgresql://…`, of a URL that may be SQLAlchemy's (`postgresql+asyncpg://…?ssl=require`).

    Raises ValueError for another database's, and for one that nobody can take apart: asyncpg would say so quoting what
    it took for a port, which is a part of the password. What is raised here quotes nothing.
    """
    scheme, separator, rest = url.partition("://")
    name, _, driver = scheme.partition("+")
    if not separator or name not in ("postgresql", "postgres"):
        raise ValueError("must begin with postgresql://")
    if not _can_be_taken_apart(rest):
        raise ValueError(
            "is no URL: in user and password, write what is no letter or digit as %…: @ is %40, / is %2F, # is %23"
        )
    return f"postgresql://{_with_sslmode(rest) if driver == 'asyncpg' else rest}"


def _can_be_taken_apart(rest: str) -> bool:
    try:
        parts = urlsplit(f"postgresql://{rest}")
        parse_qsl(parts.query, strict_parsing=bool(parts.query))
    except ValueError:
        return False
    user, separator, hosts = parts.netloc.partition("@")  # the first one, as asyncpg does it
    return not parts.fragment and _HOSTS.fullmatch(hosts if separator else user) is not None


def _with_sslmode(rest: str) -> str:
    """Return it with libpq's name for what SQLAlchemy hands to asyncpg as `ssl`: a URL's `ssl` is a server setting."""
    before, mark, query = rest.partition("?")
    given = [("sslmode" if name == "ssl" else name, value) for name, value in parse_qsl(query)]
    return f"{before}{mark}{urlencode(given)}"
