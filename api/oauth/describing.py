"""What OpenAPI says of endpoints that take forms and answer with errors of OAuth's."""

from typing import Any, Final

_ERROR: Final[dict[str, Any]] = {
    "type": "object",
    "description": "What went wrong (RFC 6749, 5.2).",
    "required": ["error", "error_description"],
    "properties": {"error": {"type": "string"}, "error_description": {"type": "string"}},
}
_WORDS: Final = {
    400: "The request does not hold",
    401: "The client is not known by what it sent",
    413: "Body too large",
    415: "Another content type than a form's",
    429: "Too many requests",
    503: "Temporarily unavailable",
}
_CLIENT: Final = {
    "client_id": "Of a public client, or of one that does not use Basic.",
    "client_secret": "Of a confidential client that does not use Basic.",
}
TOKEN_FORM: Final = {
    "grant_type": "authorization_code, refresh_token or client_credentials.",
    "code": "The code from the authorization endpoint.",
    "redirect_uri": "That of the authorization request, if it named one.",
    "code_verifier": "PKCE's verifier (RFC 7636, 4.1): 43 to 128 characters.",
    "refresh_token": "The newest one.",
    "scope": "What is wanted of what was granted, between spaces.",
    **_CLIENT,
}
ONE_TOKEN_FORM: Final = {
    "token": "An access token or a refresh token.",
    "token_type_hint": "access_token or refresh_token; not needed.",
    **_CLIENT,
}


def taking_form(fields: dict[str, str], *, required: str) -> dict[str, Any]:
    """Return the description of a form's fields for a route's `openapi_extra`."""
    schema = {
        "type": "object",
        "required": [required],
        "properties": {name: {"type": "string", "description": words} for name, words in fields.items()},
    }
    content = {"application/x-www-form-urlencoded": {"schema": schema}}
    return {"requestBody": {"required": True, "content": content}}


def errors_of(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the description of these errors for a route's `responses`."""
    content = {"application/json": {"schema": _ERROR}}
    return {status: {"description": _WORDS[status], "content": content} for status in statuses}
