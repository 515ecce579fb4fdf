"""Addresses of assets that open without a key, for a while."""

from serve.domain.media import Asset
from serve.domain.names import TenantName
from serve.gateway.services import Services


async def open_link(services: Services, tenant: TenantName, asset: Asset) -> str:
    """A link of the blob store where it has any, else a signed path of this API."""
    seconds = services.settings.objects.presign_seconds
    stores = await services.assets.link(asset, seconds)
    return stores or f"/v1/assets/{asset.id}/content?{await services.links.query(tenant, asset.id, seconds)}"
