"""ID tokens: which are believed.

Source: OpenID Connect Core 1.0, section 3.1.3.7; RFC 8725. Only asymmetric algorithms: with an HMAC, whoever knows the
client's secret, or takes a public key for one, could write tokens.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from joserfc import jwk, jwt
from joserfc.errors import BadSignatureError, InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

from serve.domain.errors import Unauthenticated

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
_KEY_TYPES = ("RSA", "EC", "OKP")
_LEEWAY_SECONDS = 60
"""Between the provider's clock and ours."""
_MAX_SUBJECT_CHARS = 255
"""Of the standard."""
_MAX_TOKEN_CHARS = 64 * 1024
"""Groups make tokens long; this is long for any of them."""


class UnknownSigner(Exception):
    """No key that we have signed this. The provider may have new ones."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What a token of this login says."""

    issuer: str
    client_id: str
    nonce: str
    now_seconds: int


def key_set(document: Mapping[str, Any]) -> KeySet:
    """The provider's signing keys. What we do not understand in it is left out (RFC 7517, section 5)."""
    found = document.get("keys")
    keys = []
    for each in found if isinstance(found, list) else []:
        if isinstance(each, dict) and each.get("kty") in _KEY_TYPES and each.get("use", "sig") == "sig":
            try:
                keys.append(jwk.import_key(each))
            except (JoseError, ValueError, TypeError, KeyError):
                continue
    return KeySet(keys)


def claims_of(token: str, keys: KeySet, expected: Expected) -> dict[str, Any]:
    """The claims of a token that is genuine, of this login, for us, and in time.

    Raises:
        UnknownSigner: none of `keys` signed it.
        Unauthenticated: `invalid_id_token`, for any other fault.
    """
    claims = _signed(token, keys)
    registry = jwt.JWTClaimsRegistry(
        now=expected.now_seconds,
        leeway=_LEEWAY_SECONDS,
        iss={"essential": True, "value": expected.issuer},
        sub={"essential": True},
        aud={"essential": True, "value": expected.client_id},
        exp={"essential": True},
        iat={"essential": True},
    )
    try:
        registry.validate(claims)
    except JoseError as error:
        raise refused(str(error)) from None
    _check_party(claims, expected)
    if not _is_same(claims.get("nonce"), expected.nonce):
        raise refused("its nonce is not of this login")
    if len(claims["sub"]) > _MAX_SUBJECT_CHARS or not claims["sub"].isprintable():
        raise refused("its subject is too long, or not printable")
    return claims


def _signed(token: str, keys: KeySet) -> dict[str, Any]:
    if len(token) > _MAX_TOKEN_CHARS or not token.isascii():
        raise refused("it is too long, or no token")
    if not keys:
        raise UnknownSigner
    try:
        return jwt.decode(token, keys, algorithms=ALGORITHMS).claims
    except (BadSignatureError, InvalidKeyIdError):
        raise UnknownSigner from None
    except (JoseError, ValueError, TypeError) as error:
        raise refused(f"{type(error).__name__}") from None


def _check_party(claims: Mapping[str, Any], expected: Expected) -> None:
    """A token for several must say that it was made for us; one that says so of another was not."""
    party, audience = claims.get("azp"), claims["aud"]
    is_shared = isinstance(audience, list) and len(audience) > 1
    if (is_shared or party is not None) and party != expected.client_id:
        raise refused("it was made for another party")


def _is_same(given: Any, wanted: str) -> bool:
    return isinstance(given, str) and hmac.compare_digest(given.encode(), wanted.encode())


def refused(why: str) -> Unauthenticated:
    """The answer to a token that is not believed."""
    return Unauthenticated(f"The identity provider's token is not valid: {why}. Log in again.", "invalid_id_token")
