"""`slipway up` and `down`: what they print, what they leave."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from fakes.platform import SLIPWAY, TestPlatform, running_platform, wait_for
from fakes.processes import free_ports


def test_a_second_up_finds_the_first(platform: TestPlatform) -> None:
    again = platform.run("up", "--detach")
    assert again.returncode == 0
    assert f"Already running at {platform.url}" in again.stdout


def test_a_taken_port_is_said_before_anything_starts(platform: TestPlatform, tmp_path: Path) -> None:
    elsewhere = platform.environment | {"XDG_STATE_HOME": str(tmp_path)}
    refused = subprocess.run([*SLIPWAY, "up"], env=elsewhere, capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 1
    assert f"Port {platform.port} is in use" in refused.stdout


@pytest.mark.ends_its_platform
def test_ctrl_c_leaves_no_process(object_references: TestPlatform, platform: TestPlatform) -> None:
    known, state = object_references.state["id"], object_references.folder / "state/slipway/platform.json"
    assert object_references.terminal is not None
    object_references.terminal.send_signal(signal.SIGINT)
    platform.down()  # the other one's end takes as long, and is due anyway
    object_references.terminal.wait(180)
    assert processes_of(known) == []
    assert not state.exists()


@pytest.mark.long
@pytest.mark.parametrize(
    ("signal_number", "moment"),
    [
        pytest.param(signal.SIGINT, "while it starts", id="Ctrl-C while it starts"),
        pytest.param(signal.SIGTERM, "when it is ready", id="SIGTERM when it is ready"),
        pytest.param(signal.SIGTERM, "while it starts", id="SIGTERM while it starts"),
    ],
)
def test_a_platform_that_is_stopped_leaves_no_process(tmp_path: Path, signal_number: int, moment: str) -> None:
    (port,) = free_ports(1)
    environment = os.environ | {
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "SLIPWAY_GATEWAY_PORT": str(port),
        "SLIPWAY_MODELS_BUILTIN": "echo",
        "PYTHONUNBUFFERED": "1",
    }
    log = tmp_path / "log"
    with log.open("w") as out:
        process = subprocess.Popen([*SLIPWAY, "up"], env=environment, stdout=out, stderr=out)
        state = tmp_path / "state/slipway/platform.json"
        wait_for(state.exists, 60, "Ray is started")
        known = TestPlatform(tmp_path, port, dict(environment)).state["id"]
        if moment == "when it is ready":
            wait_for(lambda: "Slipway is ready" in log.read_text(), 120, "the platform is ready")
        else:
            time.sleep(2)
        process.send_signal(signal_number)
        process.wait(60)
    assert processes_of(known) == []
    assert not state.exists()


@pytest.mark.long
def test_a_platform_whose_terminal_was_killed_is_cleared_by_the_next_up(tmp_path: Path) -> None:
    with running_platform(tmp_path, models_builtin="") as first:
        known = first.state["id"]
        os.kill(first.state["pid"], signal.SIGKILL)
        wait_for(lambda: "Already" not in first.run("up", "--detach", timeout=240).stdout, 1, "a new platform starts")
        assert first.state["id"] != known
        assert processes_of(known) == []


def processes_of(platform_id: str) -> list[str]:
    """Command lines of the platform's living processes."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if f"SLIPWAY_PLATFORM_ID={platform_id}".encode() in (entry / "environ").read_bytes():
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found
