"""The documents that versions and runs execute: stored by digest, never changed, gone when nothing needs them.

The digest is of the text that is stored, layout and words included, in the order in which they were written. A text
that its digest does not fit is refused: what was published is what runs, whoever had hands on the database.
"""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Collection, Mapping

from sqlalchemy import Select, and_, delete, exists, or_, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from serve.domain.errors import NotFound, PayloadTooLarge, StorageUnavailable
from serve.domain.names import TenantName
from serve.domain.ports import Clock
from serve.domain.run import RunKind, RunStatus
from serve.domain.workflow import MAX_BYTES, WorkflowSpec
from serve.settings import WorkflowsSettings
from serve.storage.records import Records
from serve.storage.tables import runs
from serve.storage.workflow_tables import workflow_documents, workflow_versions

_KEY = ("tenant", "digest")
_DAY_MS = 86_400_000
_KEPT_BYTES = 32 * 2**20
"""Of documents' texts, of which a process keeps what they say: reading one of 500 nodes takes milliseconds."""
_BATCH = 200
_IDS = 500
"""In one statement: SQLite takes 32,766 parameters, and older ones 999."""


def body_of(spec: WorkflowSpec) -> str:
    """The text of a document, without what it leaves at its defaults. Raises PayloadTooLarge."""
    body = json.dumps(spec.written(), separators=(",", ":"), ensure_ascii=False)
    if (num_bytes := len(body.encode())) > MAX_BYTES:
        raise PayloadTooLarge(
            f"A workflow has at most {MAX_BYTES} bytes as JSON, and this one has {num_bytes}. "
            "Make inputs of long texts, or take parts out into workflows of their own.",
            "too_large",
        )
    return body


def digest_of(body: str) -> str:
    """`sha256:...` of a document's text."""
    return "sha256:" + hashlib.sha256(body.encode()).hexdigest()


async def store(connection: AsyncConnection, tenant: TenantName, spec: WorkflowSpec, now_ms: int) -> str:
    """Have the document in the database when the transaction ends; its digest."""
    body = body_of(spec)
    digest = digest_of(body)
    row = {"tenant": tenant, "digest": digest, "body": body, "created_ms": now_ms, "used_ms": now_ms}
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    # In one statement: a sweep between two would take away what is just being published.
    kept = insert(workflow_documents).values(row).on_conflict_do_update(index_elements=_KEY, set_={"used_ms": now_ms})
    await connection.execute(kept)
    return digest


class Documents:
    """Documents of workflows, by tenant and digest."""

    def __init__(self, records: Records, clock: Clock, settings: WorkflowsSettings) -> None:
        self._records = records
        self._clock = clock
        self._settings = settings
        self._read: OrderedDict[tuple[str, str], tuple[WorkflowSpec, int]] = OrderedDict()
        self._num_bytes = 0

    async def put(self, tenant: TenantName, spec: WorkflowSpec) -> str:
        """Keep a document, from now on for as long as a run has it, and a while for one to begin; its digest.

        Raises:
            PayloadTooLarge: `too_large`.
        """
        async with self._records.write() as connection:
            return await store(connection, tenant, spec, self._clock.now_ms())

    async def get(self, tenant: TenantName, digest: str) -> WorkflowSpec:
        """Raises NotFound: `document_not_found`, the same for another tenant's. StorageUnavailable: it was tampered
        with."""
        found = await self.get_all(tenant, [digest])
        if digest not in found:
            raise NotFound(f"There is no workflow document {digest[:80]!r}.", "document_not_found", "digest")
        return found[digest]

    async def get_all(self, tenant: TenantName, digests: Collection[str]) -> Mapping[str, WorkflowSpec]:
        """Those of `digests` that there are. Raises StorageUnavailable."""
        found, missing = {}, []
        for digest in dict.fromkeys(digests):
            if known := self._read.get((tenant, digest)):
                self._read.move_to_end((tenant, digest))
                found[digest] = known[0]
            else:
                missing.append(digest)
        for start in range(0, len(missing), _IDS):
            for digest, body in await self._bodies(tenant, missing[start : start + _IDS]):
                found[digest] = self._parsed(tenant, digest, body)
        return found

    async def _bodies(self, tenant: TenantName, digests: Collection[str]) -> list[tuple[str, str]]:
        query = select(workflow_documents.c.digest, workflow_documents.c.body).where(
            workflow_documents.c.tenant == tenant, workflow_documents.c.digest.in_(digests)
        )
        async with self._records.read() as connection:
            return [(row.digest, row.body) for row in await connection.execute(query)]

    def _parsed(self, tenant: TenantName, digest: str, body: str) -> WorkflowSpec:
        if digest_of(body) != digest:
            raise StorageUnavailable(
                f"the stored workflow document {digest} is not what was stored", "document_damaged"
            )
        spec = WorkflowSpec.model_validate_json(body)
        if (tenant, digest) not in self._read:
            self._read[(tenant, digest)] = (spec, len(body))
            self._num_bytes += len(body)
        while self._num_bytes > _KEPT_BYTES:
            _, (_, num_bytes) = self._read.popitem(last=False)
            self._num_bytes -= num_bytes
        return spec

    async def touch(self, tenant: TenantName, digests: Collection[str]) -> None:
        """Say that these are about to be used: none of them goes for a while."""
        mine = (workflow_documents.c.tenant == tenant, workflow_documents.c.digest.in_(list(digests)))
        async with self._records.write() as connection:
            await connection.execute(update(workflow_documents).where(*mine).values(used_ms=self._clock.now_ms()))

    async def sweep(self) -> int:
        """Remove what no version and no run has, and nobody asked for in a while; how many went."""
        now_ms, num_removed = self._clock.now_ms(), 0
        before_ms = now_ms - round(self._settings.draft_run_days * _DAY_MS)
        while idle := await self._idle(before_ms):
            needed = await self._of_runs(idle)
            async with self._records.write() as connection:
                for tenant, digest in idle:
                    mine = (workflow_documents.c.tenant == tenant, workflow_documents.c.digest == digest)
                    if (tenant, digest) in needed:
                        await connection.execute(update(workflow_documents).where(*mine).values(used_ms=now_ms))
                        continue
                    gone = delete(workflow_documents).where(*mine, workflow_documents.c.used_ms < before_ms)
                    num_removed += (await connection.execute(gone)).rowcount
                    self._forget(tenant, digest)
        return num_removed

    async def _idle(self, before_ms: int) -> list[tuple[str, str]]:
        query = _without_version(before_ms).where(workflow_documents.c.used_ms < before_ms).limit(_BATCH)
        async with self._records.read() as connection:
            return [(row.tenant, row.digest) for row in await connection.execute(query)]

    async def _of_runs(self, documents: Collection[tuple[str, str]]) -> frozenset[tuple[str, str]]:
        """Which of them runs have, finished ones included: what they were is shown as long as they are."""
        digest = runs.c.workflow["digest"].as_string()
        query = select(runs.c.tenant, digest.label("digest")).where(
            runs.c.kind == RunKind.WORKFLOW, tuple_(runs.c.tenant, digest).in_(documents)
        )
        async with self._records.read() as connection:
            return frozenset((row.tenant, row.digest) for row in await connection.execute(query.distinct()))

    def _forget(self, tenant: str, digest: str) -> None:
        if known := self._read.pop((tenant, digest), None):
            self._num_bytes -= known[1]


def _without_version(before_ms: int) -> Select[tuple[str, str]]:
    """Documents of no version. One that was deleted still counts while runs of before may be inside it."""
    version, document = workflow_versions.c, workflow_documents.c
    open_run = exists().where(
        runs.c.tenant == version.tenant,
        runs.c.status.in_([RunStatus.QUEUED, RunStatus.RUNNING]),
        runs.c.kind == RunKind.WORKFLOW,
        runs.c.created_ms < version.deleted_ms + _DAY_MS,
    )
    counts = or_(version.deleted_ms.is_(None), version.deleted_ms >= before_ms, open_run)
    of_version = exists().where(and_(version.tenant == document.tenant, version.digest == document.digest, counts))
    return select(document.tenant, document.digest).where(~of_version)
