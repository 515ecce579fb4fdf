"""Who writes documents: people through this API, or an operator for its cluster."""

from typing import Annotated, Literal

from fastapi import Header

Manager = Literal["api", "kubernetes"]
ManagedBy = Annotated[Manager, Header(alias="X-Slipway-Managed-By", description="Who writes; the other gets a 409.")]
