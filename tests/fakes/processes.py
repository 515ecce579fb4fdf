"""Real servers beside a test: free ports, starting, waiting, ending."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from serve.cli.local_ray import free_port


def free_ports(count: int) -> list[int]:
    """Different ports that nothing listens on, and that no outgoing connection is given in the meantime.

    Each of pytest-xdist's processes has ports of its own: two that chose the same one would share whichever server
    came first, and neither would notice.
    """
    index = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    num_workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    found: set[int] = set()
    while len(found) < count:
        port = free_port()
        if port % num_workers == index:
            found.add(port)
    return list(found)


def is_listening(port: int) -> bool:
    """Whether something on the loopback address accepts connections on `port`."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def server(
    command: Sequence[str],
    log: Path,
    is_ready: Callable[[], bool],
    *,
    user: int | None = None,
    start_seconds: float = 60,
    end_seconds: float = 10,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `command` in a session of its own until the block ends; its output goes to `log`.

    Raises:
        RuntimeError: with the end of the log, if it ends or is not ready within `start_seconds`.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, user=user, group=user, start_new_session=True, cwd="/"
        )
    try:
        _wait_until_ready(process, is_ready, log, start_seconds)
        yield process
    finally:
        end(process, end_seconds)


def _wait_until_ready(
    process: subprocess.Popen[bytes], is_ready: Callable[[], bool], log: Path, seconds: float
) -> None:
    deadline = time.monotonic() + seconds
    while not is_ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{process.args!r} did not start: {log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.05)


def end(process: subprocess.Popen[bytes], seconds: float) -> None:
    """End the process and everything in its session: kindly, then by force after `seconds`."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
