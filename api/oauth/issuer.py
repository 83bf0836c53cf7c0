"""The issuer: who says that they signed a token, and where everything of theirs is found (RFC 8414, 2)."""

from api.settings import ApiSettings


def issuer_of(settings: ApiSettings) -> str:
    """Return the issuer's identifier: the public URL without a slash at its end. It is compared as it stands."""
    return settings.public_url.rstrip("/")
