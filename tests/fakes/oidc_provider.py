"""A real OpenID provider on a port of its own, that a test can have misbehave.

The provider is `oidc-provider-mock`: Flask and authlib over HTTP, codes and RS256 tokens, without our code. What it
hands out may be rewritten on its way, signed with its own key, to see what we refuse.
"""

import json
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import flask
import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import Key, OctKey, RSAKey
from werkzeug.serving import make_server

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its own use of authlib's older parts
    import oidc_provider_mock

Claims = dict[str, Any]


@cache
def _first_key() -> Key:
    """One for all tests: making an RSA key takes longer than most of them."""
    return RSAKey.generate_key(2048, auto_kid=True)


@dataclass(slots=True)
class OidcProvider:
    """The running provider. `rewrite` changes an ID token's claims, `key` and `algorithm` sign it anew."""

    url: str = ""
    key: Key = field(default_factory=_first_key)
    algorithm: str = "RS256"
    published: list[Key] = field(default_factory=list)
    """The keys that it says are its own; by default the one that it signs with."""
    rewrite: Callable[[Claims], Claims] = field(default=dict)
    forms: list[dict[str, str]] = field(default_factory=list)
    """What was sent to the token endpoint, and how many times it was asked for its keys."""
    num_key_reads: int = 0

    def has(self, subject: str, **claims: Any) -> None:
        """Know a person."""
        httpx.put(f"{self.url}/users/{subject}", json=claims, trust_env=False).raise_for_status()

    async def approve(self, login_url: str, subject: str) -> str:
        """A person says yes at the provider: where the browser is sent."""
        async with httpx.AsyncClient(trust_env=False) as browser:
            answer = await browser.post(login_url, data={"sub": subject})
        assert answer.status_code == 302, answer.text
        return answer.headers["location"]

    def sign(self, claims: Claims) -> str:
        """An ID token of the provider."""
        header = {"alg": self.algorithm, "kid": self.key.kid}
        return jwt.encode(header, self.rewrite(claims), self.key, algorithms=[self.algorithm])

    def changed(self, response: flask.Response) -> flask.Response:
        """The provider's answer, with our token and keys in it."""
        if flask.request.path == "/oauth2/token":
            self.forms.append(flask.request.form.to_dict())
            answer = response.get_json()
            if "id_token" in answer:
                payload = jwt.decode(answer["id_token"], self._own(), algorithms=["RS256"]).claims
                response.set_data(json.dumps(answer | {"id_token": self.sign(payload)}))
        if flask.request.path == "/jwks":
            self.num_key_reads += 1
            keys = [key.as_dict(private=False) | {"kid": key.kid} for key in self.published or [self.key]]
            response.set_data(json.dumps({"keys": [{"kty": "future"}, *keys]}))
        return response

    def _own(self) -> Key:
        return RSAKey.import_key(flask.g.oidc_provider_mock_storage.jwk.as_dict(is_private=True))


def shared_secret() -> Key:
    """A key that a client may know as well: not one to sign with."""
    return OctKey.generate_key(256, auto_kid=True)


def query_of(url: str) -> dict[str, str]:
    """The query of an address."""
    return dict(parse_qsl(urlsplit(url).query))


@contextmanager
def running_provider() -> Iterator[OidcProvider]:
    """A provider, until the end."""
    app, made = oidc_provider_mock.app(require_nonce=True), OidcProvider()
    app.after_request(made.changed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        server = make_server("127.0.0.1", 0, app.wsgi_app, threaded=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        made.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield made
        finally:
            server.shutdown()
            thread.join(60)
            server.server_close()


@pytest.fixture
def provider() -> Iterator[OidcProvider]:
    """An OpenID provider of this test's own."""
    with running_provider() as made:
        yield made
