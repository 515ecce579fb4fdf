"""Outputs of steps that are too large for their rows, as assets of the run; see `serve.domain.stowed`."""

import asyncio
import hashlib
from collections.abc import Mapping
from typing import Any

from serve.domain.errors import EngineFailed
from serve.domain.run import Run
from serve.domain.stowed import from_stow, stowed, stowed_asset, to_stow
from serve.runs.outputs import OutputSink

_STORE_SECONDS = 30.0


class Stow:
    """What one attempt at a run keeps away from its rows. The same content is kept once, however many steps pass it
    on."""

    def __init__(self, run: Run, sink: OutputSink) -> None:
        self._run = run
        self._sink = sink
        self._kept: dict[tuple[str, str], Mapping[str, Any]] = {}
        """By the content's digest and media type: what is known of the asset that has it."""
        self._storing: dict[tuple[str, str], asyncio.Lock] = {}

    async def put_away(self, outputs: Mapping[str, Any]) -> dict[str, Any]:
        """`outputs` as their row has them. Raises StorageUnavailable, TimeoutError."""
        async with asyncio.timeout(_STORE_SECONDS):
            return {port: await self._put(port, value) for port, value in outputs.items()}

    async def _put(self, port: str, value: Any) -> Any:
        content = to_stow(value)
        if content is None:
            return value
        data, media_type = content
        place = (hashlib.sha256(data).hexdigest(), media_type)
        async with self._storing.setdefault(place, asyncio.Lock()):
            if place not in self._kept:
                ending = "json" if media_type.endswith("json") else "txt"
                self._kept[place] = await self._sink.store(self._run, f"{port}.{ending}", data, media_type)
        return stowed(self._kept[place])

    async def take_out(self, outputs: Mapping[str, Any]) -> dict[str, Any]:
        """`outputs` with the values themselves. Raises NotFound, StorageUnavailable, EngineFailed: it is not what was
        kept."""
        return {port: await self._taken(value) for port, value in outputs.items()}

    async def _taken(self, value: Any) -> Any:
        asset = stowed_asset(value)
        if asset is None:
            return value
        data, media_type = await self._sink.read(self._run, asset["id"]), str(asset["media_type"])
        self._kept[hashlib.sha256(data).hexdigest(), media_type] = asset
        try:
            return from_stow(data, media_type)
        except ValueError:
            raise EngineFailed(f"The asset {asset['id']} is not what a step put out.") from None
