"""The adapters of every tenant: names that move from version to version, and versions that never change.

A version is written whole (its blobs, then its row and its name in one transaction) or not at all. Whatever is asked
for by a reader is asked for with the reader's name in the same statement: another tenant's adapter is an unknown one
in every answer, and takes as long. Deleting hides at once; rows and blobs go when nothing can still be using them.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import ColumnElement, Row, Select, and_, delete, insert, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from serve.catalog.adapters.blobs import AdapterBlobs
from serve.catalog.adapters.files import AdapterFile
from serve.catalog.adapters.modules import AdapterContents, AdapterModule
from serve.catalog.adapters.stored import (
    StoredAdapter,
    StoredFile,
    StoredVersion,
    Words,
    modules_json,
    modules_of,
)
from serve.catalog.catalog import BUILTIN
from serve.domain.adapters import EVERYONE, AdapterArchitecture, AdapterFacts, AdapterId, AdapterVersion, parse_id
from serve.domain.errors import Conflict, NotFound, StorageUnavailable
from serve.domain.names import TenantName
from serve.domain.ports import Clock, ObjectStore
from serve.settings import AdaptersSettings
from serve.storage.records import Records
from serve.storage.tables import adapter_shares, adapter_versions, adapters

Added = Literal["created", "configured", "unchanged"]
_NUM_TRIES = 20
_VERSION_COLUMNS = [
    column
    for column in adapter_versions.c
    if column.name not in ("tenant", "name", "digest", "modules", "created_ms", "deleted_ms")
]


@dataclass(frozen=True, slots=True)
class NewVersion:
    """Files on their way in: `folder` holds `files` and nobody else writes to it."""

    tenant: TenantName
    name: str
    digest: str
    folder: Path
    files: tuple[StoredFile, ...]
    contents: AdapterContents
    base: str | None = None
    misfits: tuple[str, ...] = ()


class AdapterRegistry:
    """Adapters by tenant and name."""

    def __init__(self, records: Records, objects: ObjectStore, clock: Clock, settings: AdaptersSettings) -> None:
        self.blobs = AdapterBlobs(records, objects, clock, settings)
        self._records = records
        self._clock = clock

    async def add(
        self,
        new: NewVersion,
        words: Words,
        *,
        managed_by: str = "api",
        document: Mapping[str, Any] | None = None,
    ) -> tuple[StoredAdapter, Added]:
        """Store the version and move the name to it. Unchanged: these bytes and words are the present ones already.

        Raises:
            Conflict: `managed_elsewhere`, `too_many_adapters`. PayloadTooLarge: `adapter_quota`.
            StorageUnavailable: the store does not take it; nothing was added.
        """
        is_done: Added | None = None
        try:
            for _ in range(_NUM_TRIES):
                await self.blobs.hold(new.tenant, new.name, new.digest, new.files)
                await self.blobs.write(new.tenant, new.digest, new.files, new.folder)
                is_done = await self._publish(new, words, managed_by, document)
                if is_done is not None:
                    return await self.get(new.tenant, new.tenant, new.name, new.digest), is_done
        finally:
            if is_done is None:
                await self.blobs.collect(new.tenant, new.digest, is_over=True)
        raise StorageUnavailable("the blobs of this adapter do not stay in place")

    async def _publish(
        self, new: NewVersion, words: Words, managed_by: str, document: Mapping[str, Any] | None
    ) -> Added | None:
        """One transaction: the version is there and the name means it. None if its blobs went in the meantime."""
        now_ms = self._clock.now_ms()
        async with self._records.write() as connection:
            await self.blobs.take_turns(connection, new.tenant)
            if not await self.blobs.is_held(connection, new.tenant, new.digest):
                return None
            await self.blobs.release(connection, new.tenant, new.digest)
            await _put_version(connection, new, now_ms)
            before = await _name_row(connection, new.tenant, new.name)
            if before is None:
                await _create_name(connection, new, words, managed_by, document, now_ms)
                await _share(connection, new.tenant, new.name, words.shared_with or ())
                return "created"
            _check_manager(before, managed_by)
            shared_before = await _shares(connection, new.tenant, new.name)
            values = {"digest": new.digest, "managed_by": managed_by, **_columns(words)}
            if document is not None or new.digest != before.digest:  # a document says which files the name means
                values["document"] = None if document is None else dict(document)
            is_same = all(getattr(before, name) == value for name, value in values.items())
            if is_same and (words.shared_with is None or set(words.shared_with) == set(shared_before)):
                return "unchanged"
            await _change_name(connection, new.tenant, new.name, values, words, now_ms)
            return "configured"

    async def get(
        self, reader: TenantName | None, tenant: TenantName, name: str, digest: str | None = None
    ) -> StoredAdapter:
        """The adapter with its present version, or with that of `digest`, if `reader` (None: an administrator) may use
        it. Raises NotFound: `adapter_not_found`, the same for another tenant's."""
        found = await self.find(reader, tenant, name, digest)
        if found is None:
            raise unknown_adapter(tenant, name, digest)
        return found

    async def find(
        self, reader: TenantName | None, tenant: TenantName, name: str, digest: str | None = None
    ) -> StoredAdapter | None:
        """The same, or None."""
        wanted = and_(adapters.c.tenant == tenant, adapters.c.name == name, _is_open_to(reader))
        async with self._records.read() as connection:
            row = (await connection.execute(_joined(digest).where(wanted))).first()
            return None if row is None else _adapter(row, await _shares(connection, tenant, name))

    async def versions(self, tenant: TenantName, name: str) -> list[StoredVersion]:
        """Every version there is, the newest first. Ask `get` first: this asks for no reader."""
        mine = (
            adapter_versions.c.tenant == tenant,
            adapter_versions.c.name == name,
            adapter_versions.c.deleted_ms.is_(None),
        )
        order = (adapter_versions.c.created_ms.desc(), adapter_versions.c.digest)
        async with self._records.read() as connection:
            return [_version(row) for row in await connection.execute(_of_versions().where(*mine).order_by(*order))]

    async def version(self, adapter_id: AdapterId) -> StoredVersion:
        """A version by its id, also one that was deleted while calls or runs may still use it: for replicas, whose
        calls were let in by a gateway. Raises NotFound, ValueError."""
        async with self._records.read() as connection:
            row = (await connection.execute(_of_versions().where(*_is_version(adapter_id)))).first()
        if row is None:
            raise NotFound(f"There is no adapter {adapter_id[:160]!r}.", "adapter_not_found", "adapters")
        return _version(row)

    async def files(self, version: AdapterVersion) -> Mapping[str, AdapterFile]:
        """See `files.AdapterVersions`."""
        found = await self.version(version.id)
        return {file.name: AdapterFile(file.sha256, file.num_bytes) for file in found.files}

    async def modules(self, adapter_id: AdapterId) -> tuple[AdapterModule, ...]:
        """What a version changes. Raises NotFound."""
        async with self._records.read() as connection:
            found = await connection.scalar(select(adapter_versions.c.modules).where(*_is_version(adapter_id)))
        if found is None:
            raise NotFound(f"There is no adapter {adapter_id[:160]!r}.", "adapter_not_found", "adapters")
        return modules_of(found)

    def content(self, version: StoredVersion, file: StoredFile) -> AsyncGenerator[bytes, None]:
        """The bytes of a file. Raises NotFound at the first chunk if they are gone."""
        return self.blobs.read(version.tenant, version.digest, file)

    async def list(
        self,
        reader: TenantName | None,
        *,
        base: str | None = None,
        architecture: AdapterArchitecture | None = None,
        limit: int = 50,
        after: tuple[str, str] | None = None,
    ) -> list[StoredAdapter]:
        """What `reader` may use, by tenant and name; `after` is the last one of the page before."""
        query = _joined(None).where(_is_open_to(reader))
        if base is not None:
            query = query.where(adapter_versions.c.base == base)
        if architecture is not None:
            query = query.where(adapter_versions.c.facts["architecture"].as_string() == architecture.value)
        if after is not None:
            query = query.where(tuple_(adapters.c.tenant, adapters.c.name) > tuple_(*after))
        query = query.order_by(adapters.c.tenant, adapters.c.name).limit(limit)
        async with self._records.read() as connection:
            rows = (await connection.execute(query)).all()
            shares = await _shares_of(connection, [(row.tenant, row.name) for row in rows])
        return [_adapter(row, shares.get((row.tenant, row.name), ())) for row in rows]

    async def change(self, tenant: TenantName, name: str, words: Words, manager: str = "api") -> StoredAdapter:
        """Say something else of an adapter. Raises NotFound, Conflict: `managed_elsewhere`."""
        async with self._records.write() as connection:
            await self.blobs.take_turns(connection, tenant)
            row = await _name_row(connection, tenant, name)
            if row is None:
                raise unknown_adapter(tenant, name)
            _check_manager(row, manager)
            values = _columns(words) | {"managed_by": manager}  # so that nobody's word is undone at the next start
            await _change_name(connection, tenant, name, values, words, self._clock.now_ms())
        return await self.get(tenant, tenant, name)

    async def delete(self, tenant: TenantName, name: str, digest: str | None = None, manager: str = "api") -> None:
        """Hide an adapter, or one version of it; a name whose present version goes means the newest that is left.

        Raises:
            NotFound: `adapter_not_found`. Conflict: `managed_elsewhere`.
        """
        mine = and_(
            adapter_versions.c.tenant == tenant,
            adapter_versions.c.name == name,
            adapter_versions.c.deleted_ms.is_(None),
        )
        now_ms = self._clock.now_ms()
        async with self._records.write() as connection:
            await self.blobs.take_turns(connection, tenant)
            row = await _name_row(connection, tenant, name)
            if row is None:
                raise unknown_adapter(tenant, name, digest)
            _check_manager(row, manager)
            these = mine if digest is None else mine & (adapter_versions.c.digest == digest)
            hidden = await connection.execute(update(adapter_versions).where(these).values(deleted_ms=now_ms))
            if not hidden.rowcount:
                raise unknown_adapter(tenant, name, digest)
            if digest in (None, row.digest):
                await _fall_back(connection, tenant, name, mine, now_ms)


async def _fall_back(
    connection: AsyncConnection, tenant: str, name: str, left: ColumnElement[bool], now_ms: int
) -> None:
    newest = select(adapter_versions.c.digest).where(left).order_by(adapter_versions.c.created_ms.desc()).limit(1)
    digest = await connection.scalar(newest)
    mine = (adapters.c.tenant == tenant, adapters.c.name == name)
    if digest is not None:
        await connection.execute(update(adapters).where(*mine).values(digest=digest, updated_ms=now_ms))
        return
    await _share(connection, tenant, name, ())
    await connection.execute(delete(adapters).where(*mine))


async def _put_version(connection: AsyncConnection, new: NewVersion, now_ms: int) -> None:
    """The version's row; one that was there, deleted or not, has the same bytes."""
    mine = and_(
        adapter_versions.c.tenant == new.tenant,
        adapter_versions.c.name == new.name,
        adapter_versions.c.digest == new.digest,
    )
    checked = {"base": new.base, "misfits": list(new.misfits)}
    row = (await connection.execute(select(adapter_versions.c.deleted_ms).where(mine))).first()
    if row is not None:
        revived = {} if row.deleted_ms is None else {"deleted_ms": None, "created_ms": now_ms}
        await connection.execute(update(adapter_versions).where(mine).values(checked | revived))
        return
    values = {
        "tenant": new.tenant,
        "name": new.name,
        "digest": new.digest,
        "facts": new.contents.facts.model_dump(mode="json"),
        "modules": modules_json(new.contents.modules),
        "files": [asdict(file) for file in new.files],
        "num_bytes": sum(file.num_bytes for file in new.files),
        "created_ms": now_ms,
    }
    await connection.execute(insert(adapter_versions).values(values | checked))


async def _create_name(
    connection: AsyncConnection,
    new: NewVersion,
    words: Words,
    managed_by: str,
    document: Mapping[str, Any] | None,
    now_ms: int,
) -> None:
    first = Words("", "", new.contents.facts.trigger_words, 1.0)
    values = {
        "tenant": new.tenant,
        "name": new.name,
        "digest": new.digest,
        "managed_by": managed_by,
        "document": None if document is None else dict(document),
        "created_ms": now_ms,
        "updated_ms": now_ms,
    }
    await connection.execute(insert(adapters).values(values | _columns(first) | _columns(words)))


async def _change_name(
    connection: AsyncConnection, tenant: str, name: str, values: Mapping[str, Any], words: Words, now_ms: int
) -> None:
    mine = (adapters.c.tenant == tenant, adapters.c.name == name)
    await connection.execute(update(adapters).where(*mine).values({**values, "updated_ms": now_ms}))
    if words.shared_with is not None:
        await _share(connection, tenant, name, words.shared_with)


async def _share(connection: AsyncConnection, tenant: str, name: str, readers: Sequence[str]) -> None:
    mine = (adapter_shares.c.tenant == tenant, adapter_shares.c.name == name)
    await connection.execute(delete(adapter_shares).where(*mine))
    if rows := [{"tenant": tenant, "name": name, "reader": reader} for reader in sorted(set(readers))]:
        await connection.execute(insert(adapter_shares), rows)


async def _shares(connection: AsyncConnection, tenant: str, name: str) -> tuple[str, ...]:
    return (await _shares_of(connection, [(tenant, name)])).get((tenant, name), ())


async def _shares_of(
    connection: AsyncConnection, keys: Sequence[tuple[str, str]]
) -> Mapping[tuple[str, str], tuple[str, ...]]:
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    if keys:
        query = select(adapter_shares).where(tuple_(adapter_shares.c.tenant, adapter_shares.c.name).in_(keys))
        for row in await connection.execute(query.order_by(adapter_shares.c.reader)):
            found[(row.tenant, row.name)] = (*found.get((row.tenant, row.name), ()), row.reader)
    return found


async def _name_row(connection: AsyncConnection, tenant: str, name: str) -> Row[Any] | None:
    return (
        await connection.execute(select(adapters).where(adapters.c.tenant == tenant, adapters.c.name == name))
    ).first()


def _is_open_to(reader: str | None) -> ColumnElement[bool]:
    shared = (
        select(adapter_shares.c.reader)
        .where(
            adapter_shares.c.tenant == adapters.c.tenant,
            adapter_shares.c.name == adapters.c.name,
            adapter_shares.c.reader.in_([reader, EVERYONE]),
        )
        .exists()
    )
    return or_(adapters.c.tenant == reader, shared) if reader is not None else adapters.c.tenant.is_not(None)


def _is_version(adapter_id: AdapterId) -> tuple[ColumnElement[bool], ...]:
    parts = parse_id(adapter_id)
    return (
        adapter_versions.c.tenant == parts.tenant,
        adapter_versions.c.name == parts.name,
        adapter_versions.c.digest == parts.digest,
    )


def _joined(digest: str | None) -> Select[Any]:
    """Names with their present versions, or with those of `digest`."""
    of_name = and_(
        adapter_versions.c.tenant == adapters.c.tenant,
        adapter_versions.c.name == adapters.c.name,
        adapter_versions.c.digest == (adapters.c.digest if digest is None else digest),
        adapter_versions.c.deleted_ms.is_(None),
    )
    own = (adapter_versions.c.digest.label("version_digest"), adapter_versions.c.created_ms.label("version_created_ms"))
    return select(adapters, *_VERSION_COLUMNS, *own).join(adapter_versions, of_name)


def _of_versions() -> Select[Any]:
    own = (adapter_versions.c.digest.label("version_digest"), adapter_versions.c.created_ms.label("version_created_ms"))
    return select(adapter_versions.c.tenant, adapter_versions.c.name, *_VERSION_COLUMNS, *own)


def _version(row: Row[Any]) -> StoredVersion:
    return StoredVersion(
        tenant=TenantName(row.tenant),
        name=row.name,
        digest=row.version_digest,
        facts=AdapterFacts.model_validate(row.facts),
        files=tuple(StoredFile(**file) for file in row.files),
        num_bytes=row.num_bytes,
        base=row.base,
        misfits=tuple(row.misfits),
        created_ms=row.version_created_ms,
    )


def _adapter(row: Row[Any], shared_with: Sequence[str]) -> StoredAdapter:
    return StoredAdapter(
        tenant=TenantName(row.tenant),
        name=row.name,
        present_digest=row.digest,
        title=row.title,
        description=row.description,
        trigger_words=tuple(row.trigger_words),
        default_scale=row.default_scale,
        shared_with=tuple(shared_with),
        managed_by=row.managed_by,
        document=row.document,
        created_ms=row.created_ms,
        updated_ms=row.updated_ms,
        version=_version(row),
    )


def _columns(words: Words) -> dict[str, Any]:
    """Those of the name's columns that `words` speaks of."""
    said = {
        "title": words.title,
        "description": words.description,
        "trigger_words": None if words.trigger_words is None else list(words.trigger_words),
        "default_scale": words.default_scale,
    }
    return {name: value for name, value in said.items() if value is not None}


def _check_manager(row: Row[Any], manager: str) -> None:
    if row.managed_by not in (manager, BUILTIN):
        raise Conflict(
            f"The adapter {row.name} is managed by {row.managed_by}; change it there, or delete it there first.",
            "managed_elsewhere",
        )


def unknown_adapter(tenant: str, name: str, digest: str | None = None) -> NotFound:
    """What is said of an adapter that is not there, or not for the caller to know of."""
    shown = f"{tenant}/{name}" + (f"@{digest}" if digest else "")
    return NotFound(
        f"There is no adapter {shown[:160]!r} that this key may use. GET /v1/adapters lists them.",
        "adapter_not_found",
        "name",
    )
