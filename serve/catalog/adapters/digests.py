"""Which documents a tenant's adapters come from, page by page: for whoever keeps thousands in step."""

from sqlalchemy import and_, select

from serve.domain.applied import AppliedDocument
from serve.domain.documents import AdapterDocument
from serve.domain.names import TenantName
from serve.storage.records import Records
from serve.storage.tables import adapter_versions, adapters


async def adapter_digests(records: Records, tenant: TenantName, limit: int, after: str) -> list[AppliedDocument]:
    """Those by name that were applied as documents; an adapter that was uploaded is of none."""
    present = and_(
        adapter_versions.c.tenant == adapters.c.tenant,
        adapter_versions.c.name == adapters.c.name,
        adapter_versions.c.digest == adapters.c.digest,
    )
    columns = (adapters.c.name, adapters.c.document, adapters.c.managed_by, adapters.c.digest, adapter_versions.c.base)
    query = (
        select(*columns)
        .join(adapter_versions, present)
        .where(adapters.c.tenant == tenant, adapters.c.name > after, adapters.c.document.is_not(None))
        .order_by(adapters.c.name)
        .limit(limit)
    )
    async with records.read() as connection:
        rows = (await connection.execute(query)).all()
    return [
        AppliedDocument(
            row.name, AdapterDocument.model_validate(row.document).digest(), row.managed_by, row.digest, row.base
        )
        for row in rows
    ]
