"""Assets: a tenant's blobs, addressed by their content, and the rows that say what they are.

Rows of one tenant with the same content share a blob, which goes when its last row goes. No transaction spans the
two stores, so this order keeps the blob of every visible row in place:

    adding     write the blob; insert the row; see that the blob is there still, and write it again if it is not
    deleting   mark the last rows of a blob with `deleting_ms`, which hides them; delete the blob; delete the rows

While a mark is fresh its blob may vanish at any moment, so adding the same content waits. A mark older than any
request to a store can last was left by a process that died: adding takes the blob over, and `sweep` deletes it.
"""

import asyncio
import builtins
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping
from dataclasses import asdict, dataclass, fields, replace
from enum import Enum
from itertools import groupby, takewhile
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, delete, exists, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from serve.domain.errors import InvalidRequest, NotFound, StorageUnavailable
from serve.domain.media import Asset
from serve.domain.names import AssetId, ProjectName, RunId, TenantName
from serve.domain.ports import Clock, Ids, ObjectStore
from serve.domain.run import RunStatus
from serve.storage.grammar import check_media_type
from serve.storage.records import Records
from serve.storage.spool import Spool, spooled
from serve.storage.tables import assets, runs

_DELETION_MS = 600_000
"""Longer than any request to a store lasts, retries and skewed clocks included."""
_WAIT_SECONDS = 0.05
_NUM_WAITS = 100
_BATCH = 200
"""Rows deleted in one transaction: other writers wait for it."""
_PAGE = 5000
"""Ids read at a time."""
_NAME_LENGTH = 255

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Doomed:
    """A blob that no visible row needs, and the rows that were marked with it."""

    key: str
    row_ids: tuple[str, ...]
    deleting_ms: int


class _Claim(Enum):
    """What became of an attempt to insert a row."""

    DONE = "inserted: its blob is in place"
    NO_BLOB = "nobody has this content: write it first"
    BEING_DELETED = "the blob is being deleted: wait"


class Assets:
    """The blobs of every tenant. Another tenant's id answers as an unknown one does."""

    def __init__(self, records: Records, objects: ObjectStore, clock: Clock, ids: Ids) -> None:
        self._records = records
        self._objects = objects
        self._clock = clock
        self._ids = ids

    async def add(
        self,
        *,
        tenant: TenantName,
        project: ProjectName,
        data: bytes | AsyncIterator[bytes],
        media_type: str,
        name: str | None = None,
        run_id: RunId | None = None,
        width: int | None = None,
        height: int | None = None,
        seconds: float | None = None,
    ) -> Asset:
        """Store `data`; an iterator is hashed as it comes, through a temporary file where it is large.

        Raises:
            InvalidRequest: for a media type or a name that no HTTP header could carry.
            StorageUnavailable: the store does not take it; nothing was added.
        """
        check_media_type(media_type)
        _check_name(name)
        async with spooled(data) as spool:
            asset = Asset(
                id=AssetId(self._ids.new()),
                sha256=spool.sha256,
                media_type=media_type,
                num_bytes=spool.num_bytes,
                name=name,
                width=width,
                height=height,
                seconds=seconds,
                created_ms=self._clock.now_ms(),
            )
            owner = {"tenant": tenant, "project": project, "run_id": run_id}
            await self._store(asdict(asset) | owner, spool)
        return asset

    async def _store(self, row: dict[str, Any], spool: Spool) -> None:
        is_written = False
        for _ in range(_NUM_WAITS):
            claim = await self._claim(row, is_written)
            if claim is _Claim.DONE:
                await self._see_blob(row, spool)
                return
            if claim is _Claim.NO_BLOB:
                await self._write_blob(row, spool)
            else:
                await asyncio.sleep(_WAIT_SECONDS)
            is_written = claim is _Claim.NO_BLOB
        raise StorageUnavailable("this content is being deleted; add it again later", "", None, _DELETION_MS / 1000)

    async def _claim(self, row: dict[str, Any], is_written: bool) -> _Claim:
        """Insert `row` if its blob is in place and will stay."""
        now_ms = self._clock.now_ms()
        async with self._records.write() as connection:
            marks = await self._marks(connection, row["tenant"], row["sha256"])
            if not all(_is_free(mark, now_ms) for mark in marks.values()):
                return _Claim.BEING_DELETED
            if not is_written and None not in marks.values():
                return _Claim.NO_BLOB
            await connection.execute(delete(assets).where(assets.c.id.in_([i for i, mark in marks.items() if mark])))
            await connection.execute(insert(assets).values(row))
        return _Claim.DONE

    async def _marks(self, connection: AsyncConnection, tenant: str, sha256: str) -> dict[str, int | None]:
        """`deleting_ms` of every row of a blob by id, which no other transaction changes until this one ends."""
        await self._records.take_turns(connection, _blob_key(tenant, sha256))
        of_blob = (assets.c.tenant == tenant) & (assets.c.sha256 == sha256)
        found = await connection.execute(select(assets.c.id, assets.c.deleting_ms).where(of_blob))
        return {asset_id: deleting_ms for asset_id, deleting_ms in found}

    async def _write_blob(self, row: dict[str, Any], spool: Spool) -> None:
        stored = await self._objects.put(_blob_key(row["tenant"], row["sha256"]), spool.read(), row["media_type"])
        if stored.num_bytes != row["num_bytes"]:
            raise StorageUnavailable(f"the store kept {stored.num_bytes} bytes of {row['num_bytes']}")

    async def _see_blob(self, row: dict[str, Any], spool: Spool) -> None:
        """Write the blob again if a deletion that began before the row was there took it, or if it is cut short."""
        try:
            if await self._num_stored_bytes(row) != row["num_bytes"]:
                await self._write_blob(row, spool)
        except BaseException:
            await asyncio.shield(self._remove(assets.c.id == row["id"]))
            raise

    async def _num_stored_bytes(self, row: dict[str, Any]) -> int | None:
        try:
            return (await self._objects.stat(_blob_key(row["tenant"], row["sha256"]))).num_bytes
        except NotFound:
            return None

    async def get(self, tenant: TenantName, asset_id: AssetId) -> Asset:
        """Raises NotFound, for another tenant's asset too."""
        return _asset_of(await self._row((assets.c.tenant == tenant) & (assets.c.id == asset_id)))

    async def taken_over(
        self, tenant: TenantName, project: str, asset_ids: Collection[str], run_id: RunId
    ) -> dict[str, Asset]:
        """Further rows of these assets for a run, by the ids that were given; the content is shared. Those that are
        gone, or another tenant's, are left out."""
        async with self._records.read() as connection:
            mine = (assets.c.tenant == tenant) & assets.c.id.in_(sorted(asset_ids)) & assets.c.deleting_ms.is_(None)
            rows = (await connection.execute(select(assets).where(mine))).all()
        taken = {}
        for row in rows:
            asset = replace(_asset_of(row), id=AssetId(self._ids.new()), created_ms=self._clock.now_ms())
            owner = {"tenant": tenant, "project": project, "run_id": run_id}
            if await self._claim(asdict(asset) | owner, is_written=False) is _Claim.DONE:
                taken[row.id] = asset
        return taken

    async def assets(self, tenant: TenantName, ids: Collection[str]) -> Mapping[str, Asset]:
        """Those of the tenant, by id; what is gone, or never was, is left out."""
        ordered, found = sorted(set(ids)), {}
        for start in range(0, len(ordered), _BATCH):
            some = assets.c.id.in_(ordered[start : start + _BATCH])
            mine = some & (assets.c.tenant == tenant) & assets.c.deleting_ms.is_(None)
            async with self._records.read() as connection:
                rows = (await connection.execute(select(assets).where(mine))).all()
            found.update({row.id: _asset_of(row) for row in rows})
        return found

    async def list(self, tenant: TenantName, limit: int, after: AssetId | None = None) -> builtins.list[Asset]:
        """The newest first; `after` is the last id of the page before."""
        wanted = (assets.c.tenant == tenant) & assets.c.deleting_ms.is_(None)
        if after is not None:
            wanted &= assets.c.id < after
        async with self._records.read() as connection:
            found = await connection.execute(select(assets).where(wanted).order_by(assets.c.id.desc()).limit(limit))
            return [_asset_of(row) for row in found]

    async def content(self, asset: Asset, offset: int = 0) -> AsyncGenerator[bytes, None]:
        """The bytes from `offset`. Raises NotFound at the first chunk if the asset is gone."""
        row = await self._row(assets.c.id == asset.id)
        num_left = max(0, row.num_bytes - offset)
        chunks = self._objects.get(_blob_key(row.tenant, row.sha256), offset)
        try:
            async for chunk in chunks:
                num_left -= len(chunk)
                yield chunk
        finally:
            await chunks.aclose()
        if num_left:
            raise StorageUnavailable(f"the blob of asset {asset.id} is not the {row.num_bytes} bytes that were stored")

    async def link(self, asset: Asset, expires_seconds: int) -> str | None:
        """A URL that reads the asset without a key, or None where the store has none to give."""
        row = await self._row(assets.c.id == asset.id)
        return await self._objects.presign_get(_blob_key(row.tenant, row.sha256), expires_seconds)

    async def delete(self, tenant: TenantName, asset_id: AssetId) -> None:
        """Raises NotFound, for another tenant's asset too."""
        await self.get(tenant, asset_id)
        await self._remove(assets.c.id == asset_id)

    async def delete_for_runs(self, run_ids: Collection[str]) -> None:
        """Delete what these runs made."""
        ordered = sorted(run_ids)
        for start in range(0, len(ordered), _BATCH):
            await self._remove(assets.c.run_id.in_(ordered[start : start + _BATCH]))

    async def delete_strays(self, run_id: RunId, fence: int, kept: Collection[str]) -> int:
        """Delete what was stored for a run, but for `kept`; how many rows. For the claim that works on the run only.

        The claim is looked at in the statement that finds the rows. So a claim that is over finds none, and one that
        ends just then finds those of its own time: a row of the next claim is committed after that claim, and no
        statement sees the one without the other.
        """
        claim = (runs.c.id == run_id, runs.c.fence == fence, runs.c.status == RunStatus.RUNNING)
        ours = and_(assets.c.run_id == run_id, exists().where(*claim))
        num_removed, after, wanted = 0, "", frozenset(kept)
        while True:
            # What is kept may be more than a statement has room for.
            ids = await self._ids_of(ours & (assets.c.id > after), _PAGE)
            strays = [one for one in ids if one not in wanted]
            for start in range(0, len(strays), _BATCH):
                num_removed += await self._remove(ours & assets.c.id.in_(strays[start : start + _BATCH]))
            if len(ids) < _PAGE:
                return num_removed
            after = ids[-1]

    async def sweep_orphans(self, before_ms: int, after: str = "") -> str:
        """Look at a batch of assets from the id `after` on, and delete those of runs that do not exist.

        None made since `before_ms` is looked at: a picture is stored before the row of its run. Answers the last id
        that was looked at, `after` itself where there is nothing more. Ids lie in the order of time.
        """
        columns = (assets.c.id, assets.c.created_ms, assets.c.run_id, runs.c.id.label("found_id"))
        with_runs = assets.outerjoin(runs, assets.c.run_id == runs.c.id)
        query = select(*columns).select_from(with_runs).where(assets.c.id > after).order_by(assets.c.id)
        async with self._records.read() as connection:
            rows = (await connection.execute(query.limit(_BATCH))).all()
        old = list(takewhile(lambda row: row.created_ms < before_ms, rows))
        if orphans := [row.id for row in old if row.run_id is not None and row.found_id is None]:
            await self._remove(assets.c.id.in_(orphans))
        return old[-1].id if old else after

    async def sweep(self) -> int:
        """Finish the deletions that a failure cut short; answers of how many rows."""
        return await self._remove(assets.c.deleting_ms.is_not(None))

    async def _ids_of(self, wanted: ColumnElement[bool], limit: int) -> builtins.list[str]:
        """Of the first such rows. What is to be removed is asked for first: writing waits for other writers."""
        async with self._records.read() as connection:
            query = select(assets.c.id).where(wanted).order_by(assets.c.id)
            return builtins.list((await connection.execute(query.limit(limit))).scalars())

    async def _remove(self, wanted: ColumnElement[bool]) -> int:
        """Delete rows, and the blobs that nothing else needs; answers how many rows."""
        num_removed = 0
        while True:
            num_rows, doomed = await self._unlink(wanted)
            for blob in doomed:
                await self._delete_blob(blob)
            num_removed += num_rows
            if num_rows < _BATCH:
                return num_removed

    async def _unlink(self, wanted: ColumnElement[bool]) -> tuple[int, builtins.list[_Doomed]]:
        """Hide a batch of rows: gone where others keep the blob, marked where they were the last."""
        now_ms = self._clock.now_ms()
        is_free = assets.c.deleting_ms.is_(None) | (assets.c.deleting_ms <= now_ms - _DELETION_MS)
        query = select(assets.c.tenant, assets.c.sha256, assets.c.id).where(wanted & is_free)
        async with self._records.write() as connection:
            # In one order everywhere, so that two who take turns for several blobs cannot wait for each other.
            rows = (await connection.execute(query.order_by(*query.selected_columns).limit(_BATCH))).all()
            blobs = groupby(rows, key=lambda row: (row.tenant, row.sha256))
            doomed = [await self._unlink_blob(connection, *blob, {row.id for row in of}, now_ms) for blob, of in blobs]
        return len(rows), [blob for blob in doomed if blob]

    async def _unlink_blob(
        self, connection: AsyncConnection, tenant: str, sha256: str, row_ids: set[str], now_ms: int
    ) -> _Doomed | None:
        marks = await self._marks(connection, tenant, sha256)
        # Read again under the turn: another process may have taken some of them since.
        ours = tuple(row_id for row_id in row_ids if row_id in marks and _is_free(marks[row_id], now_ms))
        is_ours = assets.c.id.in_(ours)
        if any(mark is None for row_id, mark in marks.items() if row_id not in ours):
            await connection.execute(delete(assets).where(is_ours))
            return None
        await connection.execute(update(assets).where(is_ours).values(deleting_ms=now_ms))
        return _Doomed(_blob_key(tenant, sha256), ours, now_ms) if ours else None

    async def _delete_blob(self, blob: _Doomed) -> None:
        try:
            await self._objects.delete(blob.key)
        except StorageUnavailable as error:
            _log.warning("blob %s stays until the next sweep: %s", blob.key, error)
            return
        is_marked = assets.c.id.in_(blob.row_ids) & (assets.c.deleting_ms == blob.deleting_ms)
        async with self._records.write() as connection:
            await connection.execute(delete(assets).where(is_marked))

    async def _row(self, wanted: ColumnElement[bool]) -> Row[Any]:
        async with self._records.read() as connection:
            row = (await connection.execute(select(assets).where(wanted & assets.c.deleting_ms.is_(None)))).first()
        if row is None:
            raise NotFound("There is no such asset.")
        return row


def _asset_of(row: Row[Any]) -> Asset:
    return Asset(**{field.name: getattr(row, field.name) for field in fields(Asset)})


def _blob_key(tenant: str, sha256: str) -> str:
    return f"assets/{tenant}/{sha256[:2]}/{sha256}"


def _is_free(deleting_ms: int | None, now_ms: int) -> bool:
    """Whether nobody is deleting the row's blob at this moment."""
    return deleting_ms is None or deleting_ms <= now_ms - _DELETION_MS


def _check_name(name: str | None) -> None:
    if name is not None and (len(name) > _NAME_LENGTH or not name.isprintable()):
        raise InvalidRequest(f"a name is at most {_NAME_LENGTH} printable characters", "", "name")
