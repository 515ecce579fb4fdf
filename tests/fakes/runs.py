"""Runs to test with, and the databases to keep them in."""

import asyncio
from collections.abc import AsyncIterator, Collection
from pathlib import Path
from typing import Any

import pytest
from fakes.databases import new_sqlite
from sqlalchemy import select

from serve.clock import Uuid7Ids
from serve.domain.errors import NotFound
from serve.domain.names import RunId
from serve.domain.run import NewRun, Run, RunEventKind
from serve.domain.task import Task
from serve.runs.store import RunStore
from serve.settings import RunsSettings
from serve.storage.records import Records
from serve.storage.tables import run_events

_IDS = Uuid7Ids()

SETTINGS = RunsSettings(lease_seconds=10, poll_seconds=0.05)


def new_run(tenant: str = "acme", **changes: Any) -> NewRun:
    """A valid run of the model `echo`, changed as asked."""
    values: dict[str, Any] = {
        "id": _IDS.new(),
        "request_id": _IDS.new(),
        "tenant": tenant,
        "project": "default",
        "key_id": "key",
        "target": "echo",
        "task": Task.CHAT,
        "inputs": {"messages": [{"role": "user", "content": "hi"}]},
        "request_hash": "0" * 64,
    }
    return NewRun(**(values | changes))


async def made(store: RunStore, tenant: str = "acme", **changes: Any) -> Run:
    """The same, stored."""
    run, _ = await store.create(new_run(tenant, **changes))
    return run


async def kinds(store: RunStore, run_id: RunId) -> list[RunEventKind]:
    """The kinds of a run's events, in order; their numbers are checked on the way."""
    events = await store.events(run_id, limit=10_000)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    return [event.kind for event in events]


async def num_endings(records: Records, run_id: RunId) -> int:
    """How often the table says that the run ended."""
    endings = (RunEventKind.SUCCEEDED, RunEventKind.FAILED, RunEventKind.CANCELED)
    query = select(run_events.c.seq).where(run_events.c.run_id == run_id, run_events.c.kind.in_(endings))
    async with records.read() as connection:
        return len((await connection.execute(query)).all())


class Outputs:
    """An OutputSink in memory."""

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}
        """What was stored last, by run."""
        self.assets: dict[str, bytes] = {}
        self.kept: dict[str, frozenset[str]] = {}
        self.seconds = 0.0
        """That it takes to store one."""

    async def store(self, run: Run, name: str, data: bytes, media_type: str) -> dict[str, Any]:
        await asyncio.sleep(self.seconds)
        self.stored[run.id] = data
        asset_id = f"asset-{run.id}" + (f"-{len(self.assets)}" if self.assets else "")
        self.assets[asset_id] = data
        return {"id": asset_id, "name": name, "media_type": media_type, "num_bytes": len(data)}

    async def read(self, run: Run, asset_id: str) -> bytes:
        if asset_id not in self.assets:
            raise NotFound("gone", "asset_not_found")
        return self.assets[asset_id]

    async def keep_only(self, run: Run, asset_ids: Collection[str]) -> None:
        self.kept[run.id] = frozenset(asset_ids)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a migrated database of this test's own, of either kind."""
    if request.param == "sqlite":
        return new_sqlite(tmp_path / "a.db")
    return str(request.getfixturevalue("migrated_postgres_url"))


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Records]:
    """A migrated database, of either kind."""
    records = Records(database_url)
    yield records
    await records.close()
