"""The bytes of adapters: one set of blobs for a tenant's equal versions, written before any row promises them.

No transaction spans the rows and the blobs, so this order keeps the blobs of every visible version in place:

    adding     hold the set (a row with `held_until_ms`); write the blobs; insert the version; see that the hold held
    deleting   mark the set with `deleting_ms`, if no version has it and nobody holds it; delete the blobs; the row

While a mark is fresh its blobs may vanish at any moment, so who wants to hold the set waits. A mark older than any
request to a store can last was left by a process that died, and so was a hold whose time is over: `sweep` collects
both, so that nothing stays of an upload that did not end.
"""

import asyncio
import hashlib
import logging
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from serve.catalog.adapters.stored import StoredFile, blob_key
from serve.domain.errors import Conflict, InvalidRequest, NotFound, PayloadTooLarge, StorageUnavailable
from serve.domain.ports import Clock, ObjectStore
from serve.settings import AdaptersSettings
from serve.storage.records import Records
from serve.storage.tables import adapter_blobs, adapter_versions, adapters

_DELETION_MS = 600_000
"""Longer than any request to a store lasts, retries and skewed clocks included."""
_HOLD_MS = 3_600_000
"""Longer than any upload lasts once its bytes are on this machine's disk."""
_WAIT_SECONDS = 0.05
_NUM_WAITS = 100
_CHUNK_BYTES = 2**20
_MEDIA_TYPE = "application/octet-stream"
_BATCH = 100

_log = logging.getLogger(__name__)


class AdapterBlobs:
    """The blobs of every tenant's adapters."""

    def __init__(self, records: Records, objects: ObjectStore, clock: Clock, settings: AdaptersSettings) -> None:
        self._records = records
        self._objects = objects
        self._clock = clock
        self._settings = settings

    async def hold(self, tenant: str, name: str, digest: str, files: Sequence[StoredFile]) -> None:
        """Have a row that keeps these blobs from being deleted.

        Raises:
            Conflict: `too_many_adapters`. PayloadTooLarge: `adapter_quota`: the tenant's room is full.
            StorageUnavailable: this very content is being deleted.
        """
        for _ in range(_NUM_WAITS):
            if await self._try_hold(tenant, name, digest, files):
                return
            await asyncio.sleep(_WAIT_SECONDS)
        raise StorageUnavailable("this adapter is being deleted; add it again later", "", None, _DELETION_MS / 1000)

    async def _try_hold(self, tenant: str, name: str, digest: str, files: Sequence[StoredFile]) -> bool:
        now_ms, num_bytes = self._clock.now_ms(), sum(file.num_bytes for file in files)
        mine = (adapter_blobs.c.tenant == tenant, adapter_blobs.c.digest == digest)
        held = {"held_until_ms": now_ms + _HOLD_MS, "deleting_ms": None}
        async with self._records.write() as connection:
            await self.take_turns(connection, tenant)
            row = (await connection.execute(select(adapter_blobs).where(*mine))).first()
            if row is not None and self._is_fresh(row.deleting_ms):
                return False
            await self._check_room(connection, tenant, name, 0 if row is not None else num_bytes)
            if row is not None:
                await connection.execute(update(adapter_blobs).where(*mine).values(held))
                return True
            shown = [{"name": file.name, "sha256": file.sha256, "num_bytes": file.num_bytes} for file in files]
            own = {"tenant": tenant, "digest": digest, "files": shown, "num_bytes": num_bytes}
            await connection.execute(insert(adapter_blobs).values(own | held))
        return True

    async def take_turns(self, connection: AsyncConnection, tenant: str) -> None:
        """Of the transactions that change one tenant's adapters, one at a time."""
        await self._records.take_turns(connection, f"adapters/{tenant}")

    async def _check_room(self, connection: AsyncConnection, tenant: str, name: str, num_bytes: int) -> None:
        others = (adapters.c.tenant == tenant, adapters.c.name != name)
        num_names = await connection.scalar(select(func.count()).select_from(adapters).where(*others)) or 0
        if num_names >= self._settings.max_per_tenant:
            raise Conflict(
                f"Your tenant has {num_names} adapters, as many as it may. Delete one that is not used.",
                "too_many_adapters",
            )
        stored = select(func.sum(adapter_blobs.c.num_bytes)).where(adapter_blobs.c.tenant == tenant)
        num_stored = int(await connection.scalar(stored) or 0)
        if num_bytes and num_stored + num_bytes > self._settings.max_tenant_bytes:
            raise PayloadTooLarge(
                f"The adapters of your tenant take {num_stored} bytes, this one {num_bytes}, and all may take "
                f"{self._settings.max_tenant_bytes}. Delete versions that are not used; their room is free "
                f"{self._settings.grace_seconds:g} seconds later.",
                "adapter_quota",
            )

    async def write(self, tenant: str, digest: str, files: Sequence[StoredFile], folder: Path) -> None:
        """Have every file of a held set in the store. Raises StorageUnavailable, InvalidRequest."""
        for file in files:
            key = blob_key(tenant, digest, file.name)
            if await self._num_stored_bytes(key) != file.num_bytes:
                await self._objects.put(key, _checked(folder / file.name, file), _MEDIA_TYPE)

    async def _num_stored_bytes(self, key: str) -> int | None:
        try:
            return (await self._objects.stat(key)).num_bytes
        except NotFound:
            return None

    async def is_held(self, connection: AsyncConnection, tenant: str, digest: str) -> bool:
        """Within a transaction of the tenant's turn: whether nothing has taken the blobs since they were written."""
        mine = (adapter_blobs.c.tenant == tenant, adapter_blobs.c.digest == digest)
        row = (await connection.execute(select(adapter_blobs.c.deleting_ms).where(*mine))).first()
        return row is not None and row.deleting_ms is None

    async def release(self, connection: AsyncConnection, tenant: str, digest: str) -> None:
        """The version's row keeps the blobs from now on."""
        mine = (adapter_blobs.c.tenant == tenant, adapter_blobs.c.digest == digest)
        await connection.execute(update(adapter_blobs).where(*mine).values(held_until_ms=0))

    async def read(self, tenant: str, digest: str, file: StoredFile) -> AsyncGenerator[bytes, None]:
        """The bytes of one file. Raises NotFound, StorageUnavailable."""
        num_left = file.num_bytes
        chunks = self._objects.get(blob_key(tenant, digest, file.name))
        try:
            async for chunk in chunks:
                num_left -= len(chunk)
                yield chunk
        finally:
            await chunks.aclose()
        if num_left:
            raise StorageUnavailable(f"the blob of {digest}/{file.name} is not the {file.num_bytes} bytes stored")

    async def collect(self, tenant: str, digest: str, *, is_over: bool = False) -> None:
        """Delete a set that no version has, if its hold is over or `is_over` says so: an upload that failed.

        Another upload of the same bytes finds its hold gone when it ends, and writes them again.
        """
        marked = await self._mark(tenant, digest, is_over)
        if marked is None:
            return
        try:
            for file in marked["files"]:
                await self._objects.delete(blob_key(tenant, digest, file["name"]))
        except StorageUnavailable as error:
            _log.warning("the blobs of adapter %s/%s stay until a later sweep: %s", tenant, digest, error)
            return
        mine = (adapter_blobs.c.tenant == tenant, adapter_blobs.c.digest == digest)
        async with self._records.write() as connection:
            still = adapter_blobs.c.deleting_ms == marked["deleting_ms"]
            await connection.execute(delete(adapter_blobs).where(*mine, still))

    async def _mark(self, tenant: str, digest: str, is_over: bool) -> dict[str, Any] | None:
        now_ms = self._clock.now_ms()
        mine = (adapter_blobs.c.tenant == tenant, adapter_blobs.c.digest == digest)
        needed = (adapter_versions.c.tenant == tenant, adapter_versions.c.digest == digest)
        async with self._records.write() as connection:
            await self.take_turns(connection, tenant)
            row = (await connection.execute(select(adapter_blobs).where(*mine))).first()
            if row is None or self._is_fresh(row.deleting_ms) or not (is_over or row.held_until_ms < now_ms):
                return None
            if (await connection.execute(select(adapter_versions.c.name).where(*needed).limit(1))).first():
                return None
            await connection.execute(update(adapter_blobs).where(*mine).values(deleting_ms=now_ms))
        return {"files": row.files, "deleting_ms": now_ms}

    async def sweep(self) -> None:
        """Collect every set whose hold is over and that no version has."""
        unneeded = ~(
            select(adapter_versions.c.name)
            .where(
                adapter_versions.c.tenant == adapter_blobs.c.tenant, adapter_versions.c.digest == adapter_blobs.c.digest
            )
            .exists()
        )
        over = adapter_blobs.c.held_until_ms < self._clock.now_ms()
        query = select(adapter_blobs.c.tenant, adapter_blobs.c.digest).where(over, unneeded).limit(_BATCH)
        async with self._records.read() as connection:
            rows = (await connection.execute(query)).all()
        for row in rows:
            await self.collect(row.tenant, row.digest)

    def _is_fresh(self, deleting_ms: int | None) -> bool:
        return deleting_ms is not None and deleting_ms > self._clock.now_ms() - _DELETION_MS


async def _checked(path: Path, file: StoredFile) -> AsyncGenerator[bytes, None]:
    """The file's bytes; at their end an error, so that nothing is stored, if they are not those that were hashed."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := await asyncio.to_thread(stream.read, _CHUNK_BYTES):
            digest.update(chunk)
            yield chunk
    if digest.hexdigest() != file.sha256:
        raise InvalidRequest(
            f"{file.name} was changed while it was stored. Send the adapter again.", "adapter_changed", "file"
        )
