"""Which documents a tenant's workflows come from, page by page. Applying a document makes it the draft, which nobody
but its manager changes."""

from collections import OrderedDict
from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from serve.domain.applied import AppliedDocument
from serve.domain.documents import API_VERSION, Metadata
from serve.domain.names import TenantName
from serve.domain.workflow import WorkflowDocument, WorkflowSpec
from serve.storage.records import Records
from serve.storage.workflow_tables import workflow_versions, workflows

_MAX_KNOWN = 10_000


class DraftDigests:
    """Digests of drafts as documents. Drafts are large, and read once."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._known: OrderedDict[tuple[str, str], str] = OrderedDict()
        """By name and digest of the draft's text."""

    async def page(self, tenant: TenantName, limit: int, after: str) -> list[AppliedDocument]:
        """The tenant's published workflows by name."""
        newest = (
            select(workflow_versions.c.name, func.max(workflow_versions.c.version).label("latest"))
            .where(workflow_versions.c.tenant == tenant, workflow_versions.c.deleted_ms.is_(None))
            .group_by(workflow_versions.c.name)
            .subquery()
        )
        query = (
            select(workflows.c.name, workflows.c.draft_digest, workflows.c.managed_by, newest.c.latest)
            .join(newest, newest.c.name == workflows.c.name)
            .where(workflows.c.tenant == tenant, workflows.c.name > after)
            .order_by(workflows.c.name)
            .limit(limit)
        )
        async with self._records.read() as connection:
            rows = (await connection.execute(query)).all()
            keys = [(row.name, row.draft_digest) for row in rows]
            await self._learn(connection, tenant, [name for name, digest in keys if (name, digest) not in self._known])
        # A draft that was changed between the two readings has no digest yet: whoever compares it applies it again.
        digests = [self._known.get(key, "") for key in keys]
        return [
            AppliedDocument(row.name, digest, row.managed_by, str(row.latest))
            for row, digest in zip(rows, digests, strict=True)
        ]

    async def _learn(self, connection: AsyncConnection, tenant: TenantName, names: Sequence[str]) -> None:
        query = select(workflows.c.name, workflows.c.draft_digest, workflows.c.draft)
        if names:
            for row in await connection.execute(query.where(workflows.c.tenant == tenant, workflows.c.name.in_(names))):
                self._known[row.name, row.draft_digest] = _digest(row.name, row.draft)
        while len(self._known) > _MAX_KNOWN:
            self._known.popitem(last=False)


def _digest(name: str, draft: str) -> str:
    spec = WorkflowSpec.model_validate_json(draft)
    document = WorkflowDocument(api_version=API_VERSION, kind="Workflow", metadata=Metadata(name=name), spec=spec)
    return document.digest()
