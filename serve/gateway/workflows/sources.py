"""What the address of a workflow means now."""

from dataclasses import dataclass

from serve.domain.names import TenantName
from serve.domain.workflow import WorkflowSpec
from serve.gateway.services import Services
from serve.workflow.library.addresses import DRAFT, WorkflowAddress


@dataclass(frozen=True, slots=True)
class Source:
    """`target` is how runs of it are said to be of it, `name@3` or `name@draft`."""

    target: str
    spec: WorkflowSpec


async def source_of(services: Services, tenant: TenantName, address: WorkflowAddress) -> Source:
    """A version, or the draft. Raises NotFound, the same for another tenant's."""
    if address.which == DRAFT:
        return Source(f"{address.name}@{DRAFT}", (await services.workflows.draft(tenant, address.name)).spec)
    version = await services.workflows.versions.resolve(tenant, address)
    return Source(version.address, await services.workflows.versions.spec(version))
