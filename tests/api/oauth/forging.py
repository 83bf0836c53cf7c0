"""JWTs made by hand, as an attacker makes them: no library refuses what it is asked for."""

import base64
import hashlib
import hmac
import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.hashes import SHA256


def parts_of(token: str) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    header, claims, signature = token.split(".")
    return json.loads(decoded(header)), json.loads(decoded(claims)), decoded(signature)


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def joined(header: object, claims: object, signature: bytes) -> str:
    return ".".join((_encoded(json.dumps(header).encode()), _encoded(json.dumps(claims).encode()), _encoded(signature)))


def signed_by(key: Any, alg: str, header: dict[str, Any], claims: dict[str, Any]) -> str:
    with_alg = {**header, "alg": alg}
    text = f"{_encoded(json.dumps(with_alg).encode())}.{_encoded(json.dumps(claims).encode())}"
    if alg.startswith("HS"):
        signature = hmac.new(key, text.encode(), hashlib.sha256).digest()
    elif alg == "RS256":
        signature = key.private_key.sign(text.encode(), padding.PKCS1v15(), SHA256())
    else:
        signature = key.private_key.sign(text.encode())
    return f"{text}.{_encoded(signature)}"
