"""Fixtures that every folder of tests may ask for."""

import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fakes.clock import CountingIds, ManualClock
from fakes.databases import memory, new_sqlite
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from serve.storage.records import Records

pytest_plugins = ["fakes.postgres", "fakes.runs", "fakes.s3"]


TOGETHER = {
    "one vLLM": "on_engine/test_vllm_",
    "a platform of real models": "on_ray/test_(adapters_on_ray|images_on_ray|openai_on_ray|workflow_samples)",
    "a Ray as the operator wants it": "on_ray/test_operator_config",
    "a platform": "on_ray/",
}
"""Files, by what they share. Where several fit, the first counts."""


class Scheduling(LoadFileScheduling):
    """A file's tests are one worker's, and so are those of all files that share what takes long to start."""

    def _split_scope(self, nodeid: str) -> str:
        path = super()._split_scope(nodeid)
        return next((shared for shared, files in TOGETHER.items() if re.search(files, path)), path)


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
