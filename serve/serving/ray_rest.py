"""Ray Serve's REST API, over HTTP: apply a configuration, read how the applications are doing, take them down."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import httpx

from serve.domain.documents import ModelDocument
from serve.domain.errors import EngineFailed
from serve.domain.platform import PlatformDocument
from serve.serving.serve_config import Listener, serve_config

_TIMEOUT = httpx.Timeout(30.0, connect=5.0)
_PATH = "/api/serve/applications/"
_PAUSES_SECONDS = (1.0, 3.0, 9.0)
_SHOWN_CHARACTERS = 2000

_log = logging.getLogger(__name__)


class RayFailed(EngineFailed):
    """Ray answered 5xx: it could not then, and may later."""


class RayRest:
    """A client of one Ray head's dashboard."""

    def __init__(self, address: str, token: str) -> None:
        self._client = httpx.AsyncClient(
            base_url=address, headers={"Authorization": f"Bearer {token}"}, timeout=_TIMEOUT, trust_env=False
        )

    async def put(self, config: dict[str, Any]) -> None:
        """Make `config` the goal; Ray works towards it after this returns.

        The first PUT also starts Serve, and fails if a proxy does not come up at its first try; Ray then starts that
        proxy anew, and the next PUT finds it there. So a 5xx, which may say this, is tried again.
        """
        for pause in _PAUSES_SECONDS:
            try:
                await self._request("PUT", json=config)
                return
            except RayFailed as error:
                _log.warning("%s; trying again in %.0f s", error, pause)
            await asyncio.sleep(pause)
        await self._request("PUT", json=config)

    async def applications(self) -> dict[str, Any]:
        """Ray's own report on every application."""
        answer = await self._request("GET")
        applications: dict[str, Any] = answer.json()["applications"]
        return applications

    async def delete(self) -> None:
        """Take every application down, gracefully."""
        await self._request("DELETE")

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _request(self, method: str, **options: Any) -> httpx.Response:
        answer = await self._client.request(method, _PATH, **options)
        if answer.is_error:
            # Of a traceback the end says what happened.
            said = f"Ray answered {method} {_PATH} with {answer.status_code}: {answer.text[-_SHOWN_CHARACTERS:]}"
            raise RayFailed(said) if answer.is_server_error else EngineFailed(said)
        return answer


class RayDesiredState:
    """`ports.DesiredState` on one machine: documents become Ray Serve's configuration."""

    def __init__(self, rest: RayRest, platform: PlatformDocument, listener: Listener) -> None:
        self._rest = rest
        self._platform = platform
        self._listener = listener

    async def apply(self, models: Sequence[ModelDocument]) -> None:
        await self._rest.put(serve_config(self._platform, models, self._listener))
