"""Reading from the identity provider: JSON, bounded in time and size, and by https unless a setting says otherwise."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

import httpx

from serve.domain.errors import LoginUnavailable

MAX_BYTES = 1 << 20
SECONDS = 10.0
"""Of one request. A person waits for it."""
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class ProviderFetch:
    """Requests to the provider. It is named in the settings, so it may well be in a private network."""

    def __init__(self, allow_insecure: bool, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._schemes = ("https", "http") if allow_insecure else ("https",)
        self._transport = transport

    def checked(self, url: Any, what: str) -> str:
        """`url`, if it may be used. Raises LoginUnavailable."""
        parts = _parts(url) if isinstance(url, str) else None
        if parts is None or parts.scheme not in self._schemes or not parts.hostname or parts.fragment:
            raise LoginUnavailable(f"The identity provider's {what} is no {self._schemes[0]} address.")
        return str(url)

    async def get(self, url: str, what: str, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The JSON object at `url`. Raises LoginUnavailable."""
        return (await self._ask("GET", url, what, headers=headers))[1]

    async def post(self, url: str, what: str, **request: Any) -> tuple[int, dict[str, Any]]:
        """Status and JSON object that answer a form; a status of 400 or 401 is an answer too. Raises as `get`."""
        return await self._ask("POST", url, what, accepts=(200, 400, 401), **request)

    async def _ask(
        self, method: str, url: str, what: str, accepts: tuple[int, ...] = (200,), **request: Any
    ) -> tuple[int, dict[str, Any]]:
        self.checked(url, what)
        try:
            async with (
                asyncio.timeout(SECONDS),
                self._client(url) as client,
                client.stream(method, url, **request) as response,
            ):
                body = await _bounded(response)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, UnicodeError) as error:
            raise LoginUnavailable(f"The identity provider's {what} does not answer. Try again shortly.") from error
        found = _json(body)
        if response.status_code not in accepts or not isinstance(found, dict):
            raise LoginUnavailable(f"The identity provider's {what} answered {response.status_code}, not as it should.")
        return response.status_code, found

    def _client(self, url: str) -> httpx.AsyncClient:
        # A proxy from the environment must not come between this machine and itself.
        is_near = urlsplit(url).hostname in _LOOPBACK
        return httpx.AsyncClient(
            transport=self._transport,
            timeout=SECONDS,
            trust_env=not is_near,
            follow_redirects=False,
            headers={"accept": "application/json"},
        )


def _parts(url: str) -> SplitResult | None:
    try:
        return urlsplit(url) if url.isprintable() else None
    except ValueError:
        return None


async def _bounded(response: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes(64 * 1024):
        body += chunk
        if len(body) > MAX_BYTES:
            raise httpx.DecodingError("more than a provider has to say")
    return bytes(body)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
