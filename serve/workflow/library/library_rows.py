"""The rows of the library, as its parts read and write them within one transaction.

Whatever changes a tenant's workflows takes turns with everything else that does (`turn`): what was looked at within a
transaction stays as it was until its end.
"""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Row, and_, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from serve.domain.errors import Conflict, NotFound
from serve.domain.moments import at, rfc3339
from serve.domain.names import TenantName
from serve.storage.records import Records
from serve.storage.workflow_tables import workflow_aliases, workflow_documents, workflow_versions, workflows
from serve.workflow.library.addresses import DRAFT, LATEST
from serve.workflow.library.stored_workflows import StoredAlias, StoredVersion, StoredWorkflow

_MAX_SHOWN = 5


async def turn(records: Records, connection: AsyncConnection, tenant: TenantName) -> None:
    """Wait for the other transactions that change the tenant's workflows, and keep further ones waiting."""
    await records.take_turns(connection, f"workflows/{tenant}")


def revision_of(row: Row[Any]) -> str:
    """A state of a draft. The count alone would be one that a deleted workflow of this name has had, too."""
    return f"{row.revision}-{row.draft_digest.removeprefix('sha256:')[:8]}"


async def find(connection: AsyncConnection, tenant: TenantName, name: str) -> Row[Any] | None:
    """The workflow's row."""
    return (
        await connection.execute(select(workflows).where(workflows.c.tenant == tenant, workflows.c.name == name))
    ).first()


async def get(connection: AsyncConnection, tenant: TenantName, name: str) -> Row[Any]:
    """The same. Raises NotFound."""
    row = await find(connection, tenant, name)
    if row is None:
        raise unknown_workflow(name)
    return row


async def latest(connection: AsyncConnection, tenant: TenantName, name: str) -> Row[Any] | None:
    """The row of the highest version that there is, with its document."""
    query = (
        select(workflow_versions, workflow_documents.c.body)
        .join(
            workflow_documents,
            and_(
                workflow_documents.c.tenant == workflow_versions.c.tenant,
                workflow_documents.c.digest == workflow_versions.c.digest,
            ),
        )
        .where(*there(tenant, name))
        .order_by(workflow_versions.c.version.desc())
        .limit(1)
    )
    return (await connection.execute(query)).first()


def there(tenant: TenantName, name: str) -> tuple[Any, ...]:
    """Versions of a workflow that are not deleted."""
    return (
        workflow_versions.c.tenant == tenant,
        workflow_versions.c.name == name,
        workflow_versions.c.deleted_ms.is_(None),
    )


async def version_row(
    connection: AsyncConnection, tenant: TenantName, name: str, version: int, with_deleted: bool = False
) -> Row[Any]:
    """The row of a version. Raises NotFound."""
    query = select(workflow_versions).where(
        workflow_versions.c.tenant == tenant,
        workflow_versions.c.name == name,
        workflow_versions.c.version == version,
    )
    row = (await connection.execute(query)).first()
    if row is None or (row.deleted_ms is not None and not with_deleted):
        raise unknown_version(name, version)
    return row


async def stored(connection: AsyncConnection, rows: Collection[Row[Any]]) -> list[StoredWorkflow]:
    """What these rows, all of one tenant, are, with their versions and aliases."""
    if not rows:
        return []
    tenant, names = next(iter(rows)).tenant, [row.name for row in rows]
    newest = (
        select(workflow_versions.c.name, func.max(workflow_versions.c.version).label("latest"))
        .where(
            workflow_versions.c.tenant == tenant,
            workflow_versions.c.name.in_(names),
            workflow_versions.c.deleted_ms.is_(None),
        )
        .group_by(workflow_versions.c.name)
    )
    numbers = {row.name: row.latest for row in await connection.execute(newest)}
    aliases: dict[str, dict[str, int]] = {name: {} for name in names}
    named = select(workflow_aliases).where(workflow_aliases.c.tenant == tenant, workflow_aliases.c.name.in_(names))
    for row in await connection.execute(named.order_by(workflow_aliases.c.alias)):
        aliases[row.name][row.alias] = row.version
    return [_workflow(row, numbers.get(row.name), aliases[row.name]) for row in rows]


def _workflow(row: Row[Any], newest: int | None, aliases: Mapping[str, int]) -> StoredWorkflow:
    return StoredWorkflow(
        tenant=TenantName(row.tenant),
        name=row.name,
        title=row.title,
        revision=revision_of(row),
        draft_digest=row.draft_digest,
        latest=newest,
        aliases=aliases,
        managed_by=row.managed_by,
        created_ms=row.created_ms,
        updated_ms=row.updated_ms,
        updated_by=row.updated_by,
    )


def version_of(row: Row[Any]) -> StoredVersion:
    """What the row of a version is."""
    return StoredVersion(
        TenantName(row.tenant), row.name, row.version, row.digest, row.note, row.created_ms, row.created_by
    )


def alias_of(row: Row[Any]) -> StoredAlias:
    """What the row of an alias is."""
    return StoredAlias(row.alias, row.version, row.previous, row.updated_ms, row.updated_by)


def check_manager(row: Row[Any], manager: str) -> None:
    """Raises Conflict where somebody else writes this workflow."""
    if row.managed_by != manager:
        raise Conflict(
            f"The workflow {row.name} is managed by {row.managed_by}; change it there, or delete it there first.",
            "managed_elsewhere",
        )


def check_revision(row: Row[Any], expected: str) -> None:
    """Raises Conflict where the draft is not in the state that the caller has seen."""
    found = revision_of(row)
    if expected == found:
        return
    seen = f"you have changed {expected[:40]!r}" if expected else "you say that there is none"
    raise Conflict(
        f"The draft of {row.name} is at revision {found}, saved by {row.updated_by} at {rfc3339(at(row.updated_ms))}; "
        f'{seen}. Read it again, put your changes into it, and save that with If-Match: "{found}".',
        "revision_mismatch",
        "if-match",
    )


async def users_of(connection: AsyncConnection, tenant: TenantName, name: str, version: int | None = None) -> list[str]:
    """Versions of other workflows that have this one inside, or with `version` that one of it, by `name@version`."""
    wanted = f"workflow:{name}@" + ("" if version is None else f'{version}"')
    query = (
        select(workflow_versions.c.name, workflow_versions.c.version)
        .join(
            workflow_documents,
            and_(
                workflow_documents.c.tenant == workflow_versions.c.tenant,
                workflow_documents.c.digest == workflow_versions.c.digest,
            ),
        )
        .where(
            workflow_versions.c.tenant == tenant,
            workflow_versions.c.deleted_ms.is_(None),
            workflow_documents.c.body.contains(f'"type":"{wanted}', autoescape=True),
        )
        .order_by(workflow_versions.c.name, workflow_versions.c.version)
    )
    if version is None:
        query = query.where(workflow_versions.c.name != name)
    rows = await connection.execute(query.limit(_MAX_SHOWN))
    return [f"{row.name}@{row.version}" for row in rows]


def in_use(what: str, users: Collection[str]) -> Conflict:
    """What is said of something that others need."""
    return Conflict(f"{what} is used by {', '.join(users)}. Change or delete that first.", "workflow_in_use")


def unknown_workflow(name: str) -> NotFound:
    """What is said of a workflow that is not there, or another tenant's."""
    return NotFound(f"There is no workflow {name[:80]!r}. GET /v1/workflows lists them.", "workflow_not_found", "name")


def unknown_version(name: str, which: int | str) -> NotFound:
    """What is said of a version that is not there, or not any more."""
    said = f"version {which}" if isinstance(which, int) else f"alias {which[:80]!r}"
    told = f"The workflow {name[:80]!r} has no {said}."
    if which == LATEST:
        told = f"The workflow {name[:80]!r} has no version yet: publish its {DRAFT}."
    return NotFound(f"{told} GET /v1/workflows/{name[:80]}/versions lists them.", "version_not_found", "version")
