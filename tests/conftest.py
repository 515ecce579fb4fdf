"""Fixtures that every folder of tests may ask for."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fakes.clock import CountingIds, ManualClock

from serve.storage.records import Records

pytest_plugins = ["fakes.postgres", "fakes.runs", "fakes.s3"]


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands still until `clock.advance(seconds)`."""
    return ManualClock()


@pytest.fixture
def ids() -> CountingIds:
    """Ids that count from 1."""
    return CountingIds()


@pytest.fixture
async def records(tmp_path: Path) -> AsyncIterator[Records]:
    """A migrated SQLite database of this test's own."""
    made = Records(f"sqlite+aiosqlite:///{tmp_path / 'records.db'}")
    await made.migrate()
    yield made
    await made.close()
