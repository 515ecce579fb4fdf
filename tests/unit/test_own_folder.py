"""Temporary folders that go with their process, also when it is killed."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from deployments.engines.own_folder import OwnFolder

MAKER = """
import sys, time
from deployments.engines.own_folder import OwnFolder
print(OwnFolder("slipway-test-").path, flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def _temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def _age(folder: Path) -> None:
    os.utime(folder, (0, 0))


def test_the_folder_of_a_killed_process_is_removed_by_the_next_and_a_living_ones_is_not(tmp_path: Path) -> None:
    living = OwnFolder("slipway-test-")
    command = [sys.executable, "-c", MAKER]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | {"TMPDIR": str(tmp_path)}
    ) as killed:
        assert killed.stdout is not None
        left = Path(killed.stdout.readline().strip())
        (left / "1").mkdir()
        _age(left)
        _age(living.path)
        OwnFolder("slipway-test-").remove()
        assert left.exists()
        killed.send_signal(signal.SIGKILL)
        killed.wait()

    new = OwnFolder("slipway-test-")
    assert not left.exists()
    assert living.path.exists()
    assert new.path.stat().st_mode & 0o077 == 0
    for folder in (living, new):
        folder.remove()
    assert list(tmp_path.iterdir()) == []


def test_what_was_made_just_now_and_what_is_called_otherwise_stays(tmp_path: Path) -> None:
    young, other, link = (tmp_path / name for name in ("slipway-test-young", "another", "slipway-test-link"))
    young.mkdir()
    other.mkdir()
    _age(other)
    link.symlink_to(other)
    os.utime(link, (0, 0), follow_symlinks=False)
    OwnFolder("slipway-test-").remove()
    assert sorted(tmp_path.iterdir()) == sorted([young, other, link])
