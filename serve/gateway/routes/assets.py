"""Assets: upload, look, read, delete."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Header, Query
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from serve.auth.access import Caller
from serve.domain.errors import InvalidRequest
from serve.domain.media import Asset
from serve.domain.moments import at
from serve.domain.names import AssetId
from serve.gateway.access import allowed
from serve.gateway.asset_links import open_link
from serve.gateway.byte_ranges import ByteRange, byte_range
from serve.gateway.media_types import INLINE, SIGNATURE_BYTES, kept_media_type
from serve.gateway.routing import Injected
from serve.gateway.services import Services
from serve.gateway.views import AssetView, Page

router = APIRouter(tags=["assets"])
_CHUNK_BYTES = 2**20
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_UPLOAD = {
    "requestBody": {
        "required": True,
        "content": {
            "application/octet-stream": _BINARY,
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            },
        },
    }
}
_SANDBOX = "default-src 'none'; sandbox"

Writer = Annotated[Caller, Depends(allowed("assets.write"))]
Reader = Annotated[Caller, Depends(allowed("assets.read"))]
AssetName = Annotated[str | None, Query(min_length=1, max_length=255)]


@router.post("/v1/assets", operation_id="createAsset", status_code=201, openapi_extra=_UPLOAD)
async def create_asset(request: Request, services: Injected, caller: Writer, name: AssetName = None) -> AssetView:
    """Store a blob: as the raw body, or as `file` of a form. Its kind is read from its first bytes."""
    declared = request.headers.get("content-type", "")
    if not declared.lower().startswith("multipart/"):
        return await _store(services, caller, request.stream(), declared, name)
    async with request.form(max_files=1, max_fields=8) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise InvalidRequest("the form must have a file", "missing_field", "file")
        return await _store(services, caller, _chunks(file), file.content_type or "", name or file.filename)


async def _chunks(file: UploadFile) -> AsyncGenerator[bytes, None]:
    while chunk := await file.read(_CHUNK_BYTES):
        yield chunk


async def _store(
    services: Services, caller: Caller, chunks: AsyncIterator[bytes], declared: str, name: str | None
) -> AssetView:
    head = b""
    while len(head) < SIGNATURE_BYTES and (chunk := await anext(chunks, None)) is not None:
        head += chunk
    if not head:
        raise InvalidRequest("the asset is empty", "invalid_value", "file")

    async def whole() -> AsyncGenerator[bytes, None]:
        yield head
        async for chunk in chunks:
            yield chunk

    asset = await services.assets.add(
        tenant=caller.tenant,
        project=caller.project,
        data=whole(),
        media_type=kept_media_type(declared, head),
        name=name,
    )
    return _view(asset)


@router.get("/v1/assets", operation_id="listAssets")
async def list_assets(
    services: Injected,
    caller: Reader,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    after: Annotated[AssetId | None, Query(max_length=36, description="The last id of the page before.")] = None,
) -> Page[AssetView]:
    """The tenant's assets, newest first."""
    found = await services.assets.list(caller.tenant, limit + 1, after)
    return Page(data=[_view(asset) for asset in found[:limit]], has_more=len(found) > limit)


@router.get("/v1/assets/{asset_id}", operation_id="getAsset")
async def get_asset(asset_id: AssetId, services: Injected, caller: Reader) -> AssetView:
    """What an asset is; `url` opens it without a key, for a while."""
    asset = await services.assets.get(caller.tenant, asset_id)
    return _view(asset, await open_link(services, caller.tenant, asset))


@router.head("/v1/assets/{asset_id}/content", operation_id="headAsset", response_class=Response)
async def head_asset(
    asset_id: AssetId,
    services: Injected,
    caller: Reader,
    range: Annotated[str, Header(description="One range: bytes=first-last.")] = "",
) -> Response:
    """The headers of an asset's bytes."""
    asset = await services.assets.get(caller.tenant, asset_id)
    wanted = byte_range(range, asset.num_bytes)
    return Response(None, 206 if wanted.is_part else 200, _content_headers(asset, wanted))


@router.get(
    "/v1/assets/{asset_id}/content",
    operation_id="readAsset",
    response_class=Response,
    responses={
        200: {"content": {"application/octet-stream": _BINARY}, "description": "The bytes."},
        206: {"content": {"application/octet-stream": _BINARY}, "description": "The bytes of Range."},
    },
)
async def read_asset(
    asset_id: AssetId,
    services: Injected,
    caller: Reader,
    range: Annotated[str, Header(description="One range: bytes=first-last.")] = "",
) -> Response:
    """An asset's bytes. A browser is told never to run them."""
    asset = await services.assets.get(caller.tenant, asset_id)
    wanted = byte_range(range, asset.num_bytes)
    headers = _content_headers(asset, wanted)
    return StreamingResponse(_bytes(services, asset, wanted), 206 if wanted.is_part else 200, headers)


@router.delete("/v1/assets/{asset_id}", operation_id="deleteAsset", status_code=204)
async def delete_asset(asset_id: AssetId, services: Injected, caller: Writer) -> None:
    """Remove an asset."""
    await services.assets.delete(caller.tenant, asset_id)


async def _bytes(services: Services, asset: Asset, wanted: ByteRange) -> AsyncGenerator[bytes, None]:
    num_left = wanted.num_bytes
    async with aclosing(services.assets.content(asset, wanted.first)) as chunks:
        async for chunk in chunks:
            yield chunk[:num_left]
            num_left -= len(chunk)
            if num_left <= 0:
                return


def _content_headers(asset: Asset, wanted: ByteRange) -> dict[str, str]:
    how = "inline" if asset.media_type in INLINE else "attachment"
    headers = {
        "content-type": asset.media_type,
        "content-length": str(wanted.num_bytes),
        "content-disposition": f"{how}; filename*=UTF-8''{quote(asset.name or asset.id, safe='')}",
        "content-security-policy": _SANDBOX,
        "accept-ranges": "bytes",
        "cache-control": "private, max-age=31536000, immutable",
        "etag": f'"{asset.sha256}"',
    }
    if wanted.is_part:
        headers["content-range"] = f"bytes {wanted.first}-{wanted.first + wanted.num_bytes - 1}/{asset.num_bytes}"
    return headers


def _view(asset: Asset, link: str | None = None) -> AssetView:
    return AssetView(
        id=asset.id,
        media_type=asset.media_type,
        num_bytes=asset.num_bytes,
        sha256=asset.sha256,
        name=asset.name,
        width=asset.width,
        height=asset.height,
        seconds=asset.seconds,
        created_at=at(asset.created_ms),
        url=link or f"/v1/assets/{asset.id}/content",
    )
