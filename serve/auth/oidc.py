"""The identity provider, by OpenID Connect: authorization code with PKCE.

Discovery and keys are read when they are first needed and kept for an hour; a token signed by a key that we have not
seen makes us read the keys again, once, so a provider may change them at any moment.

Source: OpenID Connect Core 1.0; Discovery 1.0; RFC 7636 (PKCE); RFC 9207 (iss in the answer).
"""

import asyncio
import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from joserfc.jwk import KeySet

from serve.auth.id_tokens import Expected, UnknownSigner, claims_of, key_set, refused
from serve.auth.provider_fetch import ProviderFetch
from serve.auth.users import Identity
from serve.domain.errors import LoginUnavailable, Unauthenticated
from serve.domain.ports import Clock
from serve.settings import AuthSettings

_FRESH_SECONDS = 3600.0
_AWAY_SECONDS = 5.0
"""A provider that did not say what it is, is not asked again for so long: those who wait for it take turns."""
_MAX_GROUPS = 2000


@dataclass(frozen=True, slots=True)
class Endpoints:
    """What the provider says of itself; empty where it has none."""

    authorization: str
    token: str
    keys: str
    userinfo: str
    end_session: str
    posts_secret: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """What one login is recognised by: all of it random, none of it shown but `state` and `nonce`."""

    state: str
    nonce: str
    verifier: str


@dataclass(frozen=True, slots=True)
class Vouched:
    """Whom the provider vouches for, in which groups, and the token that says so."""

    identity: Identity
    groups: frozenset[str]
    id_token: str


class Provider:
    """The provider of settings.auth."""

    def __init__(self, settings: AuthSettings, clock: Clock, fetch: ProviderFetch | None = None) -> None:
        self._settings = settings
        self._clock = clock
        self._fetch = fetch or ProviderFetch(settings.allow_insecure_issuer)
        self._endpoints: Endpoints | None = None
        self._keys: KeySet | None = None
        self._fresh_until = 0.0
        self._away: str | None = None
        self._away_until = 0.0
        self._reading = asyncio.Lock()

    async def login_url(self, asked: Asked, redirect_uri: str) -> str:
        """Where to send a person who wants to log in. Raises LoginUnavailable."""
        endpoints = await self.endpoints()
        digest = hashlib.sha256(asked.verifier.encode()).digest()
        query = {
            "response_type": "code",
            "client_id": self._settings.client_id,
            "redirect_uri": redirect_uri,
            "scope": self._settings.scopes,
            "state": asked.state,
            "nonce": asked.nonce,
            "code_challenge": base64.urlsafe_b64encode(digest).decode().rstrip("="),
            "code_challenge_method": "S256",
        }
        return _with_query(endpoints.authorization, query)

    async def logout_url(self, id_token: str | None, return_to: str) -> str | None:
        """Where to send a person who wants to log out there, too; None where the provider has no such place."""
        endpoints = await self.endpoints()
        if not endpoints.end_session:
            return None
        query = {"client_id": self._settings.client_id, "post_logout_redirect_uri": return_to}
        return _with_query(endpoints.end_session, query | ({"id_token_hint": id_token} if id_token else {}))

    async def vouched(self, code: str, asked: Asked, redirect_uri: str) -> Vouched:
        """Whom the code stands for.

        Raises:
            Unauthenticated: the code or its token is not valid.
            LoginUnavailable: the provider does not answer.
        """
        answer = await self._redeem(code, asked, redirect_uri)
        id_token = answer.get("id_token")
        if not isinstance(id_token, str):
            raise refused("it gave none; is `openid` among SLIPWAY_AUTH_SCOPES?")
        claims = await self._claims(id_token, asked.nonce)
        claims = await self._completed(claims, answer.get("access_token"))
        identity = Identity(self._settings.issuer, claims["sub"], _text(claims, "email"), _name(claims))
        return Vouched(identity, _groups(claims.get(self._settings.groups_claim)), id_token)

    async def _redeem(self, code: str, asked: Asked, redirect_uri: str) -> dict[str, Any]:
        endpoints, client_id = await self.endpoints(), self._settings.client_id
        secret = self._settings.client_secret.get_secret_value()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": asked.verifier,
        }
        request: dict[str, Any] = {"data": form}
        if not secret:
            form["client_id"] = client_id
        elif endpoints.posts_secret:
            form |= {"client_id": client_id, "client_secret": secret}
        else:  # RFC 6749, section 2.3.1: both are form-encoded before they are joined
            request["auth"] = (quote(client_id, safe=""), quote(secret, safe=""))
        status, answer = await self._fetch.post(endpoints.token, "token endpoint", **request)
        if status != 200:
            raise Unauthenticated("The identity provider does not accept this login. Log in again.", "login_refused")
        return answer

    async def _claims(self, id_token: str, nonce: str) -> dict[str, Any]:
        now_seconds = self._clock.now_ms() // 1000
        expected = Expected(self._settings.issuer, self._settings.client_id, nonce, now_seconds)
        try:
            return claims_of(id_token, await self._signers(), expected)
        except UnknownSigner:
            self._keys = None
        try:
            return claims_of(id_token, await self._signers(), expected)
        except UnknownSigner:
            raise refused("none of the provider's keys signed it") from None

    async def _completed(self, claims: dict[str, Any], access_token: Any) -> dict[str, Any]:
        """With what only the userinfo endpoint says. Its answer is signed by nobody, so it must be of the same person,
        and it overrides nothing."""
        endpoints = await self.endpoints()
        wanted = ("email", self._settings.groups_claim)
        if all(name in claims for name in wanted) or not endpoints.userinfo or not isinstance(access_token, str):
            return claims
        bearer = {"authorization": f"Bearer {access_token}"}
        told = await self._fetch.get(endpoints.userinfo, "userinfo endpoint", headers=bearer)
        if told.get("sub") != claims["sub"]:
            raise refused("the userinfo is another person's")
        return told | claims

    async def endpoints(self) -> Endpoints:
        """What the provider says of itself. Raises LoginUnavailable."""
        async with self._reading:
            if self._endpoints is None or self._clock.monotonic() >= self._fresh_until:
                self._endpoints, self._keys = await self._discovered_or_away(), None
                self._fresh_until = self._clock.monotonic() + _FRESH_SECONDS
            return self._endpoints

    async def _signers(self) -> KeySet:
        endpoints = await self.endpoints()
        async with self._reading:
            if self._keys is None:
                self._keys = key_set(await self._fetch.get(endpoints.keys, "key set"))
            return self._keys

    async def _discovered_or_away(self) -> Endpoints:
        if self._away is not None and self._clock.monotonic() < self._away_until:
            raise LoginUnavailable(self._away)
        try:
            return await self._discovered()
        except LoginUnavailable as error:
            self._away, self._away_until = error.message, self._clock.monotonic() + _AWAY_SECONDS
            raise

    async def _discovered(self) -> Endpoints:
        address = self._settings.issuer.rstrip("/") + "/.well-known/openid-configuration"
        document = await self._fetch.get(address, "discovery document")
        if document.get("issuer") != self._settings.issuer:
            raise LoginUnavailable(
                "The identity provider calls itself by another name than SLIPWAY_AUTH_ISSUER; they must be equal, to "
                "the last slash."
            )
        methods = document.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        return Endpoints(
            self._fetch.checked(document.get("authorization_endpoint"), "authorization endpoint"),
            self._fetch.checked(document.get("token_endpoint"), "token endpoint"),
            self._fetch.checked(document.get("jwks_uri"), "key set"),
            self._optional(document, "userinfo_endpoint"),
            self._optional(document, "end_session_endpoint"),
            posts_secret="client_secret_basic" not in methods and "client_secret_post" in methods,
        )

    def _optional(self, document: Mapping[str, Any], name: str) -> str:
        return self._fetch.checked(document[name], name) if document.get(name) else ""


def _with_query(url: str, query: Mapping[str, str]) -> str:
    return f"{url}{'&' if urlsplit(url).query else '?'}{urlencode(query)}"


def _groups(claim: Any) -> frozenset[str]:
    found = [claim] if isinstance(claim, str) else claim if isinstance(claim, list) else []
    return frozenset(group for group in found[:_MAX_GROUPS] if isinstance(group, str))


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    return value if isinstance(value, str) else ""


def _name(claims: Mapping[str, Any]) -> str:
    return _text(claims, "name") or _text(claims, "preferred_username")
