"""Access tokens: JWTs of the profile for them (RFC 9068), signed and verified (RFC 8725)."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
import uuid_utils
from joserfc import jws
from joserfc.errors import JoseError
from sqlalchemy.ext.asyncio import AsyncSession

from api.oauth.signing import NamedKey, SigningKeys

TYPE: Final = "at+jwt"
LEEWAY_S: Final = 30  # between our own clocks
_LONGEST_TOKEN: Final = 8192  # characters
_HEADER: Final = {"alg", "typ", "kid"}  # ours have these and no other: no key comes with a token (jwk, jku, x5c, x5u)
_CLAIMS: Final = {"iss": str, "sub": str, "aud": str, "exp": int, "iat": int, "jti": str, "client_id": str, "org": str}


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """What a token says; times are Unix seconds. A client's own (RFC 6749, 4.4) has no `user_id` and no `grant_id`."""

    id: str
    client_id: str
    organization_id: str
    scopes: tuple[str, ...]
    issued_at: int
    expires_at: int
    user_id: str | None = None
    grant_id: str | None = None


class _Ours(jws.JWSRegistry):
    """joserfc's algorithms without its warning that EdDSA has a newer name (RFC 9864), which few libraries know yet."""

    def get_alg(self, name: str) -> Any:  # a type that joserfc does not export
        if name not in (self.allowed or ()):
            raise JoseError(f"{name[:20]!r} is not the algorithm of this key")
        return self.algorithms[name]


_REGISTRIES: Final = {name: _Ours(algorithms=[name]) for name in ("EdDSA", "RS256")}


def new_access_token(
    *,
    client_id: str,
    organization_id: str,
    scopes: Sequence[str],
    lifetime_s: int,
    user_id: str | None = None,
    grant_id: str | None = None,
) -> AccessToken:
    """Return what a fresh token says."""
    now = int(time.time())
    return AccessToken(
        id=f"acc_{uuid_utils.uuid7().hex}",
        client_id=client_id,
        organization_id=organization_id,
        scopes=tuple(scopes),
        issued_at=now,
        expires_at=now + lifetime_s,
        user_id=user_id,
        grant_id=grant_id,
    )


def signed(token: AccessToken, signer: NamedKey, *, issuer: str) -> str:
    """Return the token as a JWT. Its audience is the issuer: the API and the server are one."""
    claims: dict[str, Any] = {**claims_of(token, issuer=issuer), "org": token.organization_id}
    if token.grant_id is not None:
        claims["grant"] = token.grant_id
    header = {"alg": signer.algorithm, "typ": TYPE, "kid": signer.id}
    return jws.serialize_compact(header, orjson.dumps(claims), signer.key, registry=_REGISTRIES[signer.algorithm])


def claims_of(token: AccessToken, *, issuer: str) -> dict[str, Any]:
    """Return the claims of RFC 9068, 2.2, as introspection shows them too (RFC 7662, 2.2)."""
    return {
        "iss": issuer,
        "sub": token.user_id or token.client_id,
        "aud": issuer,
        "exp": token.expires_at,
        "iat": token.issued_at,
        "jti": token.id,
        "client_id": token.client_id,
        "scope": " ".join(token.scopes),
    }


async def verified(db: AsyncSession, keys: SigningKeys, value: str, *, issuer: str) -> AccessToken | None:
    """Return what a JWT says when we signed it, as an access token, and it has not expired; None for anything else.

    Whether it was revoked, and whether those it speaks for may still do anything, is not asked here.
    """
    found = _extracted(value)
    if found is None:
        return None
    header = found.headers()
    named = await keys.verifier(db, header["kid"])
    if named is None or header["alg"] != named.algorithm:  # the key says which algorithm, never the token
        return None
    try:
        is_ours = jws.validate_compact(found, named.key, registry=_REGISTRIES[named.algorithm])
    except JoseError:
        return None
    return _said(found.payload, issuer) if is_ours else None


def _extracted(value: str) -> jws.CompactSignature | None:
    """Return a JWT's parts when its header is one of ours, nothing verified yet."""
    if len(value) > _LONGEST_TOKEN or not value.isascii():
        return None
    try:
        found = jws.extract_compact(value.encode(), registry=_REGISTRIES["EdDSA"])
    except (JoseError, ValueError):
        return None
    header = found.headers()
    is_ours = set(header) == _HEADER and header["typ"] == TYPE and isinstance(header["kid"], str)
    return found if is_ours else None


def _said(payload: bytes, issuer: str) -> AccessToken | None:
    claims, now = orjson.loads(payload), time.time()
    if not isinstance(claims, dict) or any(type(claims.get(name)) is not kind for name, kind in _CLAIMS.items()):
        return None
    if claims["iss"] != issuer or claims["aud"] != issuer or claims["exp"] + LEEWAY_S <= now:
        return None
    if claims["iat"] - LEEWAY_S > now or claims.get("nbf", 0) - LEEWAY_S > now:
        return None
    grant_id = claims.get("grant")
    return AccessToken(
        id=claims["jti"],
        client_id=claims["client_id"],
        organization_id=claims["org"],
        scopes=tuple(str(claims.get("scope", "")).split()),
        issued_at=claims["iat"],
        expires_at=claims["exp"],
        user_id=None if grant_id is None else claims["sub"],
        grant_id=grant_id,
    )
