"""Operations on files, performed in this process over the tenants' assets."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Any, Protocol

from serve.domain.errors import EngineFailed, InvalidRequest, NotFound, SlipwayError
from serve.domain.media import Asset
from serve.domain.names import ProjectName, TenantName
from serve.domain.port_types import parse_type
from serve.domain.steps import OperationStep
from serve.media.png_chunks import NotPng, with_text
from serve.storage.assets import Assets
from serve.workflow.execution.workload import work_of_operation
from serve.workflow.operation import OnFiles
from serve.workflow.operations import INTERNAL, OPERATIONS
from serve.workflow.values import decode, encode

_log = logging.getLogger(__name__)

_FLOOR_MS = 10.0
_MS_PER_MEGAPIXEL = 60.0
"""To decode, filter and encode one, roughly; how tenants take turns is all that hangs on it."""


class Places(Protocol):
    """Who may work now: a bound for all, and turns among tenants (`serve.serving.fair_queue`)."""

    def place(self, tenant: TenantName, predicted_ms: float) -> AbstractAsyncContextManager[float]:
        """Hold a place for the length of the `async with`. Raises Overloaded."""
        ...


class LocalOperations:
    """Implements `serve.domain.steps.Operations`.

    What an operation has stored and not given, because it failed or was canceled, is taken back.
    """

    def __init__(self, assets: Assets, places: Places, max_pixels: int) -> None:
        self._assets = assets
        self._places = places
        self._max_pixels = max_pixels

    async def perform(self, step: OperationStep) -> Mapping[str, Any]:
        """See `Operations`."""
        operation = OPERATIONS.get(step.operation) or INTERNAL.get(step.operation)
        if not isinstance(operation, OnFiles):
            raise InvalidRequest(f"there is no operation {step.operation[:80]!r} on files", "unknown_operation")
        values = {name: _decoded(operation, name, written) for name, written in step.inputs.items()}
        try:
            outputs = await self._outputs(step, operation, values)
        except (SlipwayError, asyncio.CancelledError):
            raise
        except Exception as error:
            _log.exception("operation %s of %s failed", step.operation, step.run_id)
            raise EngineFailed(f"The operation {step.operation} failed.") from error
        return {name: encode(value, parse_type(operation.outputs[name].type)) for name, value in outputs.items()}

    async def _outputs(self, step: OperationStep, operation: OnFiles, values: Mapping[str, Any]) -> Mapping[str, Any]:
        files = AssetFiles(self._assets, step, values, self._max_pixels)
        try:
            async with self._places.place(TenantName(step.tenant), _predicted_ms(values)):
                return await operation.apply(values, files)
        except BaseException:
            await asyncio.shield(files.take_back())
            raise


def _decoded(operation: OnFiles, name: str, written: Any) -> Any:
    if name not in operation.inputs:
        raise InvalidRequest(f"{operation.name} has no input {name[:80]!r}", "unknown_input", name)
    try:
        return decode(written, parse_type(operation.inputs[name].type))
    except InvalidRequest as error:
        raise InvalidRequest(f"{name} {error.message}", error.code, name) from None


def _predicted_ms(values: Mapping[str, Any]) -> float:
    return _FLOOR_MS + work_of_operation(values) * _MS_PER_MEGAPIXEL


def _given_assets(values: Mapping[str, Any]) -> list[tuple[str, Asset]]:
    """(input, asset) of all that were given."""
    listed = {name: value if isinstance(value, list) else [value] for name, value in values.items()}
    return [(name, one) for name, items in listed.items() for one in items if isinstance(one, Asset)]


class AssetFiles:
    """The assets of one step: `serve.workflow.operation.Files`."""

    def __init__(self, assets: Assets, step: OperationStep, values: Mapping[str, Any], max_pixels: int) -> None:
        self._assets = assets
        self._step = step
        self._inputs = {asset.id: name for name, asset in _given_assets(values)}
        self._max_pixels = max_pixels
        self._written: list[Asset] = []

    @property
    def max_pixels(self) -> int:
        """See `Files`."""
        return self._max_pixels

    async def read(self, asset: Asset) -> bytes:
        """See `Files`. What is another tenant's is not there."""
        try:
            found = await self._assets.get(TenantName(self._step.tenant), asset.id)
            async with aclosing(self._assets.content(found)) as chunks:
                return b"".join([chunk async for chunk in chunks])
        except NotFound:
            name = self._inputs.get(asset.id)
            raise InvalidRequest(f"{name}: the asset is there no longer", "asset_not_found", name) from None

    async def write(self, name: str, data: bytes, media_type: str, width: int, height: int) -> Asset:
        """See `Files`. A PNG file gets the step's metadata."""
        if self._step.metadata and media_type == "image/png":
            data = await asyncio.to_thread(_inscribed, data, self._step.metadata)
        adding = asyncio.ensure_future(self._add(name, data, media_type, width, height))
        try:
            return await asyncio.shield(adding)
        except asyncio.CancelledError:
            await asyncio.wait({adding})
            raise

    async def _add(self, name: str, data: bytes, media_type: str, width: int, height: int) -> Asset:
        step = self._step
        asset = await self._assets.add(
            tenant=TenantName(step.tenant),
            project=ProjectName(step.project),
            run_id=step.run_id,
            data=data,
            media_type=media_type,
            name=name,
            width=width or None,
            height=height or None,
        )
        self._written.append(asset)
        return asset

    async def take_back(self) -> None:
        """Delete what was written: nobody will have heard of it."""
        for asset in self._written:
            try:
                await self._assets.delete(TenantName(self._step.tenant), asset.id)
            except NotFound:
                continue  # its run was quicker
            except SlipwayError as error:
                _log.warning("asset %s of a step that failed may stay: %s", asset.id, error)


def _inscribed(data: bytes, metadata: Mapping[str, str]) -> bytes:
    try:
        return with_text(data, metadata)
    except NotPng:
        return data
