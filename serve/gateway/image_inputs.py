"""Pictures that callers send, made into assets: read, checked whole, and only then stored.

A field of `IMAGE_FIELDS` names its picture in one of three ways: `asset:<id>` of the caller's own, a `data:` URL in
base64, or an http(s) address, which the guarded fetcher reads. A form brings the bytes themselves. Whatever the way,
nothing is stored or queued before every picture has been decoded in full and fits the others, so that a refused
request leaves nothing behind; and what reaches a run's row is always `asset:<id>`.
"""

import asyncio
import base64
import binascii
import logging
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

from serve.catalog.cards import Card
from serve.domain.documents import DiffusionEngine
from serve.domain.errors import InvalidRequest, NotFound
from serve.domain.images import ASSET_SCHEME, IMAGE_FIELDS, MAX_SIDE, ImageFormat, ImageToImageInput
from serve.domain.names import AssetId, TenantName
from serve.domain.run import NewRun
from serve.domain.task import Task
from serve.gateway.body_budget import HeldBytes
from serve.gateway.services import Services
from serve.gateway.tenant_places import TenantPlaces
from serve.media import images
from serve.media.images import ImageInfo
from serve.settings import ImagesSettings

_log = logging.getLogger("slipway.gateway")

_DATA_URL = re.compile(r"data:image/[a-z0-9.+-]{1,40};base64,", re.IGNORECASE)
_HTTP = re.compile(r"https?://", re.IGNORECASE)
_NUM_READING = 8
"""Pictures that one gateway replica reads from its store and decodes at the same time: their bytes are in memory."""
_FETCH_WAIT_SECONDS = 10.0
"""How long a picture waits for its tenant's others to be fetched before its request is refused."""
_SUFFIXES = {media_type: f".{format}" for format, media_type in images.MEDIA_TYPES.items()}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that has been checked. `data` is there to be stored; one that is an asset already has an id instead."""

    field: str
    info: ImageInfo
    data: bytes = b""
    asset_id: AssetId | None = None


@dataclass(frozen=True, slots=True)
class Uploads:
    """What a form brought: bytes by field. With `masks_are_holes` a mask says by transparency what is painted anew,
    as OpenAI's do; a mask without any is read as ours, white painted anew."""

    files: Mapping[str, bytes]
    masks_are_holes: bool = False


NO_UPLOADS = Uploads({})


class ImageInputs:
    """Reads, checks and stores the pictures of requests; one per gateway."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._reading = asyncio.Semaphore(_NUM_READING)

    @cached_property
    def _fetching(self) -> TenantPlaces:
        """Places of their own, since a stranger's server takes the time it likes: it must hold up nobody else."""
        return TenantPlaces(self._limits.num_fetches_per_tenant, _FETCH_WAIT_SECONDS)

    @cached_property
    def _limits(self) -> ImagesSettings:
        return self._services.settings.images

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        """Threads of their own: pictures must not hold up name resolution and the blob store."""
        return ThreadPoolExecutor(self._limits.num_threads, thread_name_prefix="pictures")

    async def read(
        self,
        held: HeldBytes,
        tenant: TenantName,
        card: Card,
        task: Task,
        inputs: Mapping[str, Any],
        uploads: Uploads = NO_UPLOADS,
    ) -> list[Picture]:
        """The pictures of `inputs`, checked: each by itself, against the others, and what is made of them.

        `held` is what the request holds, to which the bytes are added that are fetched for it.

        Raises:
            InvalidRequest: invalid_value, unsupported_image, unreadable_image, image_too_large, mask_size_mismatch,
                forbidden_address, fetch_failed, with the field. NotFound: no such asset of this tenant. Overloaded:
                too much is fetched, or held, already.
        """
        found: list[Picture] = []
        for field, kind in IMAGE_FIELDS.get(task, {}).items():
            source = uploads.files[field] if field in uploads.files else inputs.get(field)
            if source is not None:
                holes = uploads.masks_are_holes and kind == "mask"
                found.append(await self.picture(held, tenant, field, source, holes=holes))
        _check_together(card, task, inputs, found)
        return found

    async def picture(
        self, held: HeldBytes, tenant: TenantName, field: str, source: str | bytes, *, holes: bool = False
    ) -> Picture:
        """One picture, checked by itself: `source` is its bytes, or what names it. Raises as `read`."""
        if isinstance(source, str) and _HTTP.match(source):
            source = await self._fetched(held, tenant, field, source)
        async with self._reading:
            return await self._picture(tenant, field, source, holes)

    async def store(self, pictures: list[Picture], run: NewRun) -> dict[str, str]:
        """`asset:<id>` by field. New assets belong to the run, and go with it."""
        stored = {}
        for picture in pictures:
            asset_id = picture.asset_id or (await self._add(picture, run))
            stored[picture.field] = f"{ASSET_SCHEME}{asset_id}"
        return stored

    async def forget(self, run: NewRun) -> None:
        """Remove what `store` added for a run that came to nothing."""
        try:
            await self._services.assets.delete_for_runs([run.id])
        except Exception:
            _log.warning("the pictures of a refused run stay for now", exc_info=True)

    async def _add(self, picture: Picture, run: NewRun) -> AssetId:
        asset = await self._services.assets.add(
            tenant=run.tenant,
            project=run.project,
            run_id=run.id,
            data=picture.data,
            media_type=picture.info.media_type,
            name=picture.field + _SUFFIXES[picture.info.media_type],
            width=picture.info.width,
            height=picture.info.height,
        )
        return asset.id

    async def _picture(self, tenant: TenantName, field: str, source: str | bytes, holes: bool) -> Picture:
        asset_id = None
        if isinstance(source, bytes):
            data = _bounded(source, self._limits.max_bytes, field)
        elif source.startswith(ASSET_SCHEME):
            asset_id = AssetId(source.removeprefix(ASSET_SCHEME))
            data = await self._asset(tenant, asset_id, field)
        else:
            data = await self._received(source, field)
        info = await self._in_thread(self._checked, data, field)
        if holes and (mask := await self._in_thread(self._mask_of_holes, data, field)):
            return Picture(field, replace(info, media_type=images.MEDIA_TYPES[ImageFormat.PNG]), mask)
        return Picture(field, info, asset_id=asset_id) if asset_id else Picture(field, info, data)

    async def _received(self, source: str, field: str) -> bytes:
        if found := _DATA_URL.match(source):
            return await self._in_thread(_decoded, source, found.end(), self._limits.max_bytes, field)
        raise InvalidRequest(
            f"{field} must be asset:<id>, data:image/...;base64,... or an http(s) address.", "invalid_value", field
        )

    async def _fetched(self, held: HeldBytes, tenant: TenantName, field: str, url: str) -> bytes:
        limits = self._limits
        async with self._fetching.place(tenant, "pictures to fetch"):
            data = await self._services.downloads.get(
                url, max_bytes=limits.max_bytes, timeout=limits.fetch_seconds, param=field
            )
        held.grow_by(len(data))
        return data

    async def _asset(self, tenant: TenantName, asset_id: AssetId, field: str) -> bytes:
        assets = self._services.assets
        try:
            asset = await assets.get(tenant, asset_id)
            if asset.num_bytes > self._limits.max_bytes:
                raise _too_large(self._limits.max_bytes, field)
            async with aclosing(assets.content(asset)) as chunks:
                return b"".join([chunk async for chunk in chunks])
        except NotFound:
            raise NotFound(f"{field}: there is no such asset.", "asset_not_found", field) from None

    def _checked(self, data: bytes, field: str) -> ImageInfo:
        """In a thread: what `data` is, once it has been decoded to its last row."""
        info = images.inspect(data, max_pixels=self._limits.max_pixels, param=field)
        images.decode(data, max_pixels=self._limits.max_pixels, param=field)
        return info

    def _mask_of_holes(self, data: bytes, field: str) -> bytes | None:
        """In a thread: a mask of ours from one that is transparent where to paint; None for one without holes."""
        mask = images.mask_of_transparency(data, max_pixels=self._limits.max_pixels, param=field)
        return None if mask is None else images.encode(mask, ImageFormat.PNG)

    async def _in_thread(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)


def _decoded(url: str, begin: int, max_bytes: int, field: str) -> bytes:
    if (len(url) - begin) * 3 // 4 > max_bytes + 2:
        raise _too_large(max_bytes, field)
    try:
        return _bounded(base64.b64decode(url[begin:], validate=True), max_bytes, field)
    except (binascii.Error, ValueError):
        raise InvalidRequest(f"{field} is no valid base64.", "invalid_value", field) from None


def _bounded(data: bytes, max_bytes: int, field: str) -> bytes:
    if len(data) > max_bytes:
        raise _too_large(max_bytes, field)
    return data


def _too_large(max_bytes: int, field: str) -> InvalidRequest:
    return InvalidRequest(f"{field} holds more than {max_bytes} bytes.", "image_too_large", field)


def _check_together(card: Card, task: Task, inputs: Mapping[str, Any], found: list[Picture]) -> None:
    """Whether the pictures fit each other, and what is made from them the model."""
    infos = {picture.field: picture.info for picture in found}
    image, mask = infos.get("image"), infos.get("mask")
    if image is None:
        return
    if mask is not None:
        images.check_mask(image, mask, "mask")
    if task is Task.IMAGE_TO_IMAGE:
        asked = ImageToImageInput.model_validate({**inputs, **dict.fromkeys(infos, ASSET_SCHEME)})
        width, height = asked.result_size(image.width, image.height)
        _check_size(card, "image" if asked.width is None else "width", width, height)


def _check_size(card: Card, param: str, width: int, height: int) -> None:
    engine = card.document.spec.engine
    most = engine.max_pixels if isinstance(engine, DiffusionEngine) else MAX_SIDE * MAX_SIDE
    if width * height > most:
        raise InvalidRequest(
            f"The result would be {width} x {height} pixels; this model makes at most {most}.", "image_too_large", param
        )
