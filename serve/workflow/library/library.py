"""The library of workflows: drafts that are written, versions that are published, and nothing that is lost in between.

A draft is saved over the state that the writer has seen, or not at all. A version is there whole (document, row and
number in one transaction) or not at all, and no way leads to changing it: saving changes the draft, publishing makes
another one. Every statement names the tenant: another's workflow is an unknown one.
"""

from typing import Any, Literal

from sqlalchemy import Row, delete, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from serve.domain.errors import Conflict, InvalidRequest
from serve.domain.names import TenantName
from serve.domain.ports import Clock
from serve.domain.workflow import WorkflowSpec
from serve.settings import WorkflowsSettings
from serve.storage.records import Records
from serve.storage.workflow_tables import workflow_aliases, workflow_versions, workflows
from serve.workflow.compiling.pinning import is_pinned, workflows_named
from serve.workflow.library import library_rows
from serve.workflow.library.addresses import RESERVED_NAMES
from serve.workflow.library.aliases import Aliases, point
from serve.workflow.library.documents import Documents, body_of, digest_of, store
from serve.workflow.library.draft_digests import DraftDigests
from serve.workflow.library.stored_workflows import NewVersion, StoredDraft, StoredVersion, StoredWorkflow
from serve.workflow.library.versions import Versions

Applied = Literal["created", "configured", "unchanged"]
ABSENT = ""
"""The revision of a draft that is not there yet."""


class Library:
    """Workflows by tenant and name."""

    def __init__(self, records: Records, clock: Clock, settings: WorkflowsSettings) -> None:
        self.documents = Documents(records, clock, settings)
        self.versions = Versions(records, clock, self.documents)
        self.aliases = Aliases(records, clock)
        self.digests = DraftDigests(records)
        self._records = records
        self._clock = clock
        self._settings = settings

    async def list(
        self, tenant: TenantName, *, text: str = "", limit: int = 50, after: str | None = None
    ) -> list[StoredWorkflow]:
        """A page of the tenant's, by name; with `text` in name or title."""
        query = select(workflows).where(workflows.c.tenant == tenant)
        if text:
            matches = (column.icontains(text, autoescape=True) for column in (workflows.c.name, workflows.c.title))
            query = query.where(or_(*matches))
        if after is not None:
            query = query.where(workflows.c.name > after)
        async with self._records.read() as connection:
            rows = (await connection.execute(query.order_by(workflows.c.name).limit(limit))).all()
            return await library_rows.stored(connection, rows)

    async def get(self, tenant: TenantName, name: str) -> StoredWorkflow:
        """Raises NotFound: `workflow_not_found`, the same for another tenant's."""
        async with self._records.read() as connection:
            return await _stored(connection, await library_rows.get(connection, tenant, name))

    async def draft(self, tenant: TenantName, name: str) -> StoredDraft:
        """The draft, with its problems or without. Raises NotFound."""
        async with self._records.read() as connection:
            row = await library_rows.get(connection, tenant, name)
            return StoredDraft(await _stored(connection, row), WorkflowSpec.model_validate_json(row.draft))

    async def save(
        self, tenant: TenantName, name: str, spec: WorkflowSpec, by: str, *, revision: str | None, manager: str = "api"
    ) -> tuple[StoredWorkflow, bool]:
        """Make `spec` the draft, in the place of the state `revision`: ABSENT, there must be none; None, whatever it
        is. Saving what is there already changes nothing, so that a save may be repeated when its answer is lost. Also
        whether the workflow is new.

        Raises:
            NotFound: there is no such workflow any more. PayloadTooLarge: `too_large`.
            Conflict: `revision_mismatch`, `managed_elsewhere`, `too_many_workflows`. InvalidRequest: the name is taken.
        """
        body = body_of(spec)
        async with self._records.write() as connection:
            await library_rows.turn(self._records, connection, tenant)
            row = await library_rows.find(connection, tenant, name)
            if row is None:
                if revision:
                    raise library_rows.unknown_workflow(name)
                await self._create(connection, tenant, name, spec, by, manager)
            elif row.draft != body:
                library_rows.check_manager(row, manager)
                if revision is not None:
                    library_rows.check_revision(row, revision)
                await self._write_draft(connection, row, spec, by)
            return await _stored(connection, await library_rows.get(connection, tenant, name)), row is None

    async def publish(self, new: NewVersion) -> tuple[StoredVersion, bool]:
        """Make a version of the draft; whether it is a new one. What the latest version says already makes none.

        Raises:
            NotFound. PayloadTooLarge: `too_large`.
            Conflict: `revision_mismatch`, `managed_elsewhere`, `too_many_versions`, `version_gone`.
        """
        async with self._records.write() as connection:
            await library_rows.turn(self._records, connection, new.tenant)
            row = await library_rows.get(connection, new.tenant, new.name)
            library_rows.check_manager(row, new.manager)
            if new.revision is not None:
                library_rows.check_revision(row, new.revision)
            return await self._publish(connection, row, new)

    async def apply(self, new: NewVersion, draft: WorkflowSpec) -> tuple[StoredVersion, Applied]:
        """Make a version of a document. `draft` is the document as it was written, and becomes the draft, unless that
        has changes that no version has: those stay, to be published or thrown away by whoever made them.

        Raises:
            As `publish` and `save`.
        """
        async with self._records.write() as connection:
            await library_rows.turn(self._records, connection, new.tenant)
            row = await library_rows.find(connection, new.tenant, new.name)
            if row is None:
                await self._create(connection, new.tenant, new.name, draft, new.by, new.manager)
                made = await self._publish(connection, await library_rows.get(connection, new.tenant, new.name), new)
                return made[0], "created"
            library_rows.check_manager(row, new.manager)
            before = await library_rows.latest(connection, new.tenant, new.name)
            is_published = before is not None and is_version_of(
                WorkflowSpec.model_validate_json(row.draft), WorkflowSpec.model_validate_json(before.body)
            )
            version, is_new = await self._publish(connection, row, new)
            if is_changed := is_published and row.draft != body_of(draft):
                await self._write_draft(connection, row, draft, new.by)
            return version, "configured" if is_new or is_changed else "unchanged"

    async def delete(self, tenant: TenantName, name: str, manager: str = "api") -> None:
        """Forget a workflow's draft and aliases, and hide its versions. Runs that were let in before go on.

        Raises:
            NotFound. Conflict: `managed_elsewhere`; `workflow_in_use`: other workflows have it inside.
        """
        async with self._records.write() as connection:
            await library_rows.turn(self._records, connection, tenant)
            library_rows.check_manager(await library_rows.get(connection, tenant, name), manager)
            if users := await library_rows.users_of(connection, tenant, name):
                raise library_rows.in_use(f"The workflow {name}", users)
            mine = (workflow_aliases.c.tenant == tenant, workflow_aliases.c.name == name)
            await connection.execute(delete(workflow_aliases).where(*mine))
            hidden = update(workflow_versions).where(*library_rows.there(tenant, name))
            await connection.execute(hidden.values(deleted_ms=self._clock.now_ms()))
            await connection.execute(delete(workflows).where(workflows.c.tenant == tenant, workflows.c.name == name))

    async def _create(
        self, connection: AsyncConnection, tenant: TenantName, name: str, spec: WorkflowSpec, by: str, manager: str
    ) -> None:
        if name in RESERVED_NAMES:
            raise InvalidRequest(f"No workflow can be called {name!r}. Choose another name.", "invalid_value", "name")
        num = await connection.scalar(select(func.count()).select_from(workflows).where(workflows.c.tenant == tenant))
        if num is not None and num >= self._settings.max_per_tenant:
            raise Conflict(
                f"The tenant has {num} workflows, which is the limit. Delete some, or ask an administrator to raise "
                "SLIPWAY_WORKFLOWS_MAX_PER_TENANT.",
                "too_many_workflows",
            )
        # Numbers of a deleted workflow of this name are not given again: name@1 means one thing, or nothing.
        mine = (workflow_versions.c.tenant == tenant, workflow_versions.c.name == name)
        last = await connection.scalar(select(func.max(workflow_versions.c.version)).where(*mine))
        values = {"tenant": tenant, "name": name, "revision": 1, "last_version": last or 0, "managed_by": manager}
        columns = self._draft_columns(spec, by)
        await connection.execute(insert(workflows).values(values | columns | {"created_ms": columns["updated_ms"]}))

    async def _write_draft(self, connection: AsyncConnection, row: Row[Any], spec: WorkflowSpec, by: str) -> None:
        values = self._draft_columns(spec, by) | {"revision": row.revision + 1}
        mine = (workflows.c.tenant == row.tenant, workflows.c.name == row.name)
        await connection.execute(update(workflows).where(*mine).values(values))

    def _draft_columns(self, spec: WorkflowSpec, by: str) -> dict[str, Any]:
        body = body_of(spec)
        return {
            "title": spec.title,
            "draft": body,
            "draft_digest": digest_of(body),
            "updated_ms": self._clock.now_ms(),
            "updated_by": by,
        }

    async def _publish(self, connection: AsyncConnection, row: Row[Any], new: NewVersion) -> tuple[StoredVersion, bool]:
        before = await library_rows.latest(connection, new.tenant, new.name)
        is_new = before is None or not is_same(WorkflowSpec.model_validate_json(before.body), new.spec)
        if is_new:
            await self._add(connection, row, new)
            before = await library_rows.latest(connection, new.tenant, new.name)
        assert before is not None
        for alias in new.aliases:
            await point(connection, new.tenant, new.name, alias, before.version, new.by, self._clock.now_ms())
        return library_rows.version_of(before), is_new

    async def _add(self, connection: AsyncConnection, row: Row[Any], new: NewVersion) -> None:
        num = await connection.scalar(
            select(func.count()).select_from(workflow_versions).where(*library_rows.there(new.tenant, new.name))
        )
        if num is not None and num >= self._settings.max_versions:
            raise Conflict(
                f"{new.name} has {num} versions, which is the limit. Delete old ones, or ask an administrator to raise "
                "SLIPWAY_WORKFLOWS_MAX_VERSIONS.",
                "too_many_versions",
            )
        await _check_named(connection, new)
        now_ms = self._clock.now_ms()
        digest = await store(connection, new.tenant, new.spec, now_ms)
        version = {
            "tenant": new.tenant,
            "name": new.name,
            "version": row.last_version + 1,
            "digest": digest,
            "note": new.note,
            "created_ms": now_ms,
            "created_by": new.by,
        }
        await connection.execute(insert(workflow_versions).values(version))
        mine = (workflows.c.tenant == new.tenant, workflows.c.name == new.name)
        await connection.execute(update(workflows).where(*mine).values(last_version=row.last_version + 1))


async def _stored(connection: AsyncConnection, row: Row[Any]) -> StoredWorkflow:
    return (await library_rows.stored(connection, [row]))[0]


async def _check_named(connection: AsyncConnection, new: NewVersion) -> None:
    """The versions that it names must be there still, now that nothing else can change."""
    for named in sorted(workflows_named(new.spec)):
        name, _, number = named.partition("@")
        there = (*library_rows.there(new.tenant, name), workflow_versions.c.version == (int(number) if number else 0))
        found = is_pinned(named) and await connection.scalar(select(workflow_versions.c.version).where(*there))
        if not found:
            raise Conflict(f"{named} was deleted in the meantime. Use another version of it.", "version_gone", "nodes")


def is_same(one: WorkflowSpec, other: WorkflowSpec) -> bool:
    """Whether two documents say the same, wherever their nodes are drawn and whatever they came from."""
    return one.said() == other.said()


def is_version_of(draft: WorkflowSpec, version: WorkflowSpec) -> bool:
    """Whether a version says all that a draft does, layout aside: where the draft names a workflow by a word, the
    version has the number that it stood for then."""
    nodes = {}
    for name, node in draft.nodes.items():
        other = version.nodes.get(name)
        is_word = other is not None and node.type != other.type and _names_same(node.type, other.type)
        nodes[name] = node.model_copy(update={"type": other.type}) if is_word and other is not None else node
    return is_same(draft.model_copy(update={"nodes": nodes}), version)


def _names_same(word: str, number: str) -> bool:
    both = word.startswith("workflow:") and number.startswith("workflow:")
    return both and word.partition("@")[0] == number.partition("@")[0] and not is_pinned(word)
