"""Fixtures that every folder of tests may ask for."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fakes.clock import CountingIds, ManualClock
from fakes.databases import memory, new_sqlite
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from serve.storage.records import Records

pytest_plugins = ["fakes.postgres", "fakes.runs", "fakes.s3"]


class Scheduling(LoadFileScheduling):
    """A file's tests are one worker's, and so are those of all files that share a vLLM."""

    def _split_scope(self, nodeid: str) -> str:
        path = super()._split_scope(nodeid)
        return "vllm" if "on_engine/test_vllm_" in path else path


def pytest_configure() -> None:
    """Tests' folders are memory where there is room, and workers share the cores; what pytest is told wins."""
    if folder := memory():
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", folder)
    if num_workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // int(num_workers))))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling | None:
    """Ours for `--dist loadfile`."""
    return Scheduling(config, log) if config.getvalue("dist") == "loadfile" else None


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
