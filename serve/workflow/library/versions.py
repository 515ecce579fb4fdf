"""Versions: made once, never changed, hidden when they are deleted. Their numbers are never given again."""

from collections.abc import Collection, Mapping

from sqlalchemy import ColumnElement, and_, select, tuple_, update

from serve.domain.names import TenantName
from serve.domain.ports import Clock
from serve.domain.workflow import WorkflowSpec
from serve.storage.records import Records
from serve.storage.workflow_tables import workflow_aliases, workflow_versions
from serve.workflow.library import library_rows
from serve.workflow.library.addresses import LATEST, WorkflowAddress, parse_address
from serve.workflow.library.documents import Documents
from serve.workflow.library.stored_workflows import StoredVersion

_IN_ONE_QUERY = 200


class Versions:
    """The versions of every workflow, by tenant."""

    def __init__(self, records: Records, clock: Clock, documents: Documents) -> None:
        self._records = records
        self._clock = clock
        self._documents = documents

    async def get(self, tenant: TenantName, name: str, version: int) -> StoredVersion:
        """Raises NotFound: `workflow_not_found`, `version_not_found`."""
        async with self._records.read() as connection:
            await library_rows.get(connection, tenant, name)
            return library_rows.version_of(await library_rows.version_row(connection, tenant, name, version))

    async def spec(self, version: StoredVersion) -> WorkflowSpec:
        """What a version is."""
        return await self._documents.get(version.tenant, version.digest)

    async def resolve(self, tenant: TenantName, address: WorkflowAddress) -> StoredVersion:
        """The version that an address means now; not of drafts, which are none.

        Raises:
            NotFound: `workflow_not_found`, `version_not_found`.
        """
        if isinstance(address.which, int):
            return await self.get(tenant, address.name, address.which)
        async with self._records.read() as connection:
            await library_rows.get(connection, tenant, address.name)
            if address.which == LATEST:
                row = await library_rows.latest(connection, tenant, address.name)
            else:
                mine = (
                    workflow_aliases.c.tenant == tenant,
                    workflow_aliases.c.name == address.name,
                    workflow_aliases.c.alias == address.which,
                )
                query = select(workflow_versions).join(workflow_aliases, _of_alias()).where(*mine)
                row = (await connection.execute(query)).first()
        if row is None:
            raise library_rows.unknown_version(address.name, address.which)
        return library_rows.version_of(row)

    async def named(
        self, tenant: TenantName, texts: Collection[str], *, with_deleted: bool = False
    ) -> Mapping[str, StoredVersion]:
        """The versions that `texts` mean (`name@2`, `name@prod`); what means none is left out.

        `with_deleted` also finds, by number, those that were deleted: for runs that were let in before.
        """
        addresses: dict[str, WorkflowAddress] = {}
        for text in texts:
            try:
                addresses[text] = parse_address(text)
            except ValueError:
                continue
        names = sorted({address.name for address in addresses.values()})
        by_which: dict[tuple[str, int | str], StoredVersion] = {}
        for start in range(0, len(names), _IN_ONE_QUERY):
            part = frozenset(names[start : start + _IN_ONE_QUERY])
            wanted = [address for address in addresses.values() if address.name in part]
            by_which |= await self._of(tenant, wanted, with_deleted)
        found = {text: by_which.get((address.name, address.which)) for text, address in addresses.items()}
        return {text: version for text, version in found.items() if version is not None}

    async def _of(
        self, tenant: TenantName, addresses: Collection[WorkflowAddress], with_deleted: bool
    ) -> dict[tuple[str, int | str], StoredVersion]:
        numbers = {(address.name, address.which) for address in addresses if isinstance(address.which, int)}
        words = {(address.name, address.which) for address in addresses if isinstance(address.which, str)}
        table, found = workflow_versions, dict[tuple[str, int | str], StoredVersion]()
        exact = select(table).where(table.c.tenant == tenant, tuple_(table.c.name, table.c.version).in_(numbers))
        if not with_deleted:
            exact = exact.where(table.c.deleted_ms.is_(None))
        alias = workflow_aliases.c
        named = (
            select(table, alias.alias)
            .join(workflow_aliases, _of_alias())
            .where(alias.tenant == tenant, tuple_(alias.name, alias.alias).in_(words))
        )
        async with self._records.read() as connection:
            for row in await connection.execute(exact):
                found[(row.name, row.version)] = library_rows.version_of(row)
            if words:
                for row in await connection.execute(named):
                    found[(row.name, row.alias)] = library_rows.version_of(row)
            for name in (name for name, word in words if word == LATEST):
                if (newest := await library_rows.latest(connection, tenant, name)) is not None:
                    found[(name, LATEST)] = library_rows.version_of(newest)
        return found

    async def list(
        self, tenant: TenantName, name: str, limit: int = 50, before: int | None = None
    ) -> list[StoredVersion]:
        """A page of them, the newest first, those below `before`. Raises NotFound."""
        query = select(workflow_versions).where(*library_rows.there(tenant, name))
        if before is not None:
            query = query.where(workflow_versions.c.version < before)
        async with self._records.read() as connection:
            await library_rows.get(connection, tenant, name)
            rows = await connection.execute(query.order_by(workflow_versions.c.version.desc()).limit(limit))
            return [library_rows.version_of(row) for row in rows]

    async def delete(self, tenant: TenantName, name: str, version: int, manager: str = "api") -> None:
        """Hide a version. Runs that were let in before go on with it.

        Raises:
            NotFound. Conflict: `managed_elsewhere`; `workflow_in_use`: an alias, or another workflow, means it.
        """
        alias = workflow_aliases.c
        mine = (alias.tenant == tenant, alias.name == name)
        async with self._records.write() as connection:
            await library_rows.turn(self._records, connection, tenant)
            library_rows.check_manager(await library_rows.get(connection, tenant, name), manager)
            await library_rows.version_row(connection, tenant, name, version)
            means = select(alias.alias).where(*mine, alias.version == version).order_by(alias.alias)
            if words := (await connection.scalars(means)).all():
                raise library_rows.in_use(f"{name}@{version}", [f"the alias {word}" for word in words])
            if users := await library_rows.users_of(connection, tenant, name, version):
                raise library_rows.in_use(f"{name}@{version}", users)
            await connection.execute(
                update(workflow_versions)
                .where(*library_rows.there(tenant, name), workflow_versions.c.version == version)
                .values(deleted_ms=self._clock.now_ms())
            )
            forgotten = update(workflow_aliases).where(*mine, alias.previous == version).values(previous=None)
            await connection.execute(forgotten)


def _of_alias() -> ColumnElement[bool]:
    return and_(
        workflow_versions.c.tenant == workflow_aliases.c.tenant,
        workflow_versions.c.name == workflow_aliases.c.name,
        workflow_versions.c.version == workflow_aliases.c.version,
        workflow_versions.c.deleted_ms.is_(None),
    )
