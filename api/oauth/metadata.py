"""What a client needs to know to use this server: its metadata (RFC 8414)."""

from typing import Any
from urllib.parse import urlsplit

from api.oauth.client_authentication import METHODS
from api.oauth.issuer import issuer_of
from api.oauth.issuing import GRANT_TYPES
from api.permissions import scope_names
from api.settings import ApiSettings

WELL_KNOWN = "/.well-known/oauth-authorization-server"


def metadata_of(settings: ApiSettings) -> dict[str, Any]:
    """Return the metadata of the issuer that the settings name."""
    issuer, with_secret = issuer_of(settings), list(METHODS[:2])
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/oauth/authorize",
        "token_endpoint": f"{issuer}/oauth/token",
        "revocation_endpoint": f"{issuer}/oauth/revoke",
        "introspection_endpoint": f"{issuer}/oauth/introspect",
        "jwks_uri": f"{issuer}/oauth/jwks.json",
        "scopes_supported": scope_names(),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": list(GRANT_TYPES),
        "token_endpoint_auth_methods_supported": list(METHODS),
        "revocation_endpoint_auth_methods_supported": list(METHODS),
        "introspection_endpoint_auth_methods_supported": with_secret,
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,  # RFC 9207, 3
    }


def issuers_path(settings: ApiSettings) -> str:
    """Return the path of the issuer, which stands behind the well-known one (RFC 8414, 3.1); "" when it has none."""
    return urlsplit(issuer_of(settings)).path
