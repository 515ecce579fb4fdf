"""Links that read one asset without a key, for a while: what a browser or a colleague is given.

A link names tenant, asset and end, and carries an HMAC-SHA256 over them under a secret that only the platform holds:
made once per installation, kept in the database, so that every gateway knows the links of every other.
"""

import base64
import hashlib
import hmac
import secrets as randomness
from collections.abc import Callable
from urllib.parse import parse_qs, urlencode

from sqlalchemy import select

from serve.auth.tenants import is_name
from serve.domain.errors import PermissionDenied
from serve.domain.names import AssetId, TenantName
from serve.domain.ports import Clock
from serve.storage.records import Records, insert_if_absent
from serve.storage.tables import secrets

SIGNATURE = "signature"
_SECRET_NAME = "asset-links"
_SECRET_BYTES = 32
_MAX_DIGITS = 15
_MAX_FIELDS = 8


class AssetLinks:
    """Makes such links and checks them. `random_bytes(n)` gives n unpredictable bytes."""

    def __init__(
        self, records: Records, clock: Clock, random_bytes: Callable[[int], bytes] = randomness.token_bytes
    ) -> None:
        self._records = records
        self._clock = clock
        self._random_bytes = random_bytes
        self._secret = b""

    async def query(self, tenant: TenantName, asset_id: AssetId, seconds: int) -> str:
        """The query string that opens the asset's content for `seconds`."""
        expires = self._clock.now_ms() // 1000 + seconds
        signature = await self._sign(tenant, asset_id, expires)
        return urlencode({"tenant": tenant, "expires": expires, SIGNATURE: signature})

    async def tenant(self, asset_id: AssetId, query: str) -> TenantName:
        """The tenant whose asset `query` opens. Raises PermissionDenied (`invalid_link`, `link_expired`)."""
        tenant, expires, signature = _fields(query)
        if not is_name(tenant) or not expires.isascii() or not expires.isdigit() or len(expires) > _MAX_DIGITS:
            raise _invalid()
        expected = await self._sign(TenantName(tenant), asset_id, int(expires))
        if not hmac.compare_digest(signature.encode(), expected.encode()):
            raise _invalid()
        if int(expires) * 1000 <= self._clock.now_ms():
            raise PermissionDenied("This link has expired. Ask for the asset again with a key.", "link_expired")
        return TenantName(tenant)

    async def _sign(self, tenant: TenantName, asset_id: AssetId, expires: int) -> str:
        self._secret = self._secret or await self._read_secret()
        message = "\n".join(("asset", tenant, asset_id, str(expires)))
        digest = hmac.new(self._secret, message.encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    async def _read_secret(self) -> bytes:
        query = select(secrets.c.secret).where(secrets.c.name == _SECRET_NAME)
        async with self._records.read() as connection:
            found = await connection.scalar(query)
        if found is None:
            made = base64.b64encode(self._random_bytes(_SECRET_BYTES)).decode()
            row = {"name": _SECRET_NAME, "secret": made, "created_ms": self._clock.now_ms()}
            async with self._records.write() as connection:
                await insert_if_absent(connection, secrets, row)
                found = await connection.scalar(query)
        return base64.b64decode(str(found))


def _fields(query: str) -> tuple[str, str, str]:
    try:
        found = parse_qs(query, max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise _invalid() from None
    tenant, expires, signature = (found.get(name, [""])[-1] for name in ("tenant", "expires", SIGNATURE))
    return tenant, expires, signature


def _invalid() -> PermissionDenied:
    return PermissionDenied("This link is not one of ours, or is cut short. Copy it whole.", "invalid_link")
