"""Documents that are applied: whose they are, who writes them, and under which name."""

from typing import Annotated, Literal

from fastapi import Header, Query

from serve.auth.access import Caller
from serve.domain.documents import Document
from serve.domain.errors import InvalidRequest, PermissionDenied
from serve.domain.names import TenantName

Manager = Literal["api", "kubernetes"]
ManagedBy = Annotated[Manager, Header(alias="X-Slipway-Managed-By", description="Who writes; the other gets a 409.")]
OfTenant = Annotated[str | None, Query(max_length=40, description="For administrators: whose. By default one's own.")]


def owner_of(caller: Caller, tenant: str | None) -> TenantName:
    """Whose documents are meant. Raises PermissionDenied."""
    if tenant in (None, caller.tenant):
        return caller.tenant
    if not caller.is_admin:
        raise PermissionDenied("Only an admin key applies documents for another tenant.", param="tenant")
    return TenantName(str(tenant))


def check_name(document: Document, name: str) -> None:
    """Whether the address and the document are about one thing. Raises InvalidRequest."""
    if document.name != name:
        told = f"metadata.name is {document.name!r}, the address says {name[:80]!r}"
        raise InvalidRequest(told, "invalid_value", "metadata.name")
