"""A database that does not answer is a 503 of ours, not a fault of the request."""

import pytest
from fakes.processes import free_ports

from serve.domain.errors import StorageUnavailable
from serve.storage.records import Records


@pytest.mark.parametrize("kind", ["read", "write"])
async def test_a_refused_connection_is_said_to_be_one(kind: str) -> None:
    (port,) = free_ports(1)
    records = Records(f"postgresql+asyncpg://nobody@127.0.0.1:{port}/nothing")
    with pytest.raises(StorageUnavailable) as away:
        async with getattr(records, kind)():
            pytest.fail("there is no database")
    assert away.value.code == "database_unavailable"
    await records.close()
