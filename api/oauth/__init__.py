"""The OAuth 2.0 authorization server (RFC 6749, with the rules of RFC 9700)."""
