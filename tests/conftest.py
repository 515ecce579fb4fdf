"""Fixtures that every folder of tests may ask for."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fakes.clock import CountingIds, ManualClock
from fakes.databases import memory, new_sqlite

from serve.storage.records import Records

pytest_plugins = ["fakes.postgres", "fakes.runs", "fakes.s3"]


def pytest_configure() -> None:
    """Tests' folders are memory where there is room; what pytest is told wins."""
    if folder := memory():
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", folder)


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
    made = Records(new_sqlite(tmp_path / "records.db"))
    yield made
    await made.close()
