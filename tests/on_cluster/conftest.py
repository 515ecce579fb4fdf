"""An API server, a platform behind it, and operators between them: all of it real code, in one process."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fakes.gateway import CHAT, EMBEDDER, gateway
from fakes.kubernetes import api_server
from fakes.operator import Bench


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """Without models: those of the fake gateway are gone."""
    async with gateway(tmp_path) as made, api_server() as server:
        for name in (CHAT, EMBEDDER):
            await made.services.catalog.delete(name, "api")
        yield Bench(server, made, tmp_path)
