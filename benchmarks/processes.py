"""A server under test: started in a process, found again with all its descendants, ended without remains.

Descendants are found by a variable in their environment, because servers start sessions of their own and outlive
their parents.
"""

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.load import LoadFailed

_MARK = "BENCHMARK_SERVER_ID"
_KEEP_ENVIRONMENT = {"SPT_NOENV": "1"}
"""Tells setproctitle, with which engines name their processes, not to write the name over the environment."""
_TERM_SECONDS = 30.0


def free_port() -> int:
    """A TCP port of the loopback interface that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Processes:
    """Commands that belong to one server, and whatever they start."""

    def __init__(self) -> None:
        self._id = secrets.token_hex(8)
        self._log = tempfile.NamedTemporaryFile(prefix="benchmark-", suffix=".log")  # noqa: SIM115 - lives as long
        self._children: list[subprocess.Popen[bytes]] = []

    def spawn(self, command: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """Start `command` with `environment` over ours, in a session of its own."""
        child = subprocess.Popen(
            command,
            env={**os.environ, **environment, _MARK: self._id, **_KEEP_ENVIRONMENT},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._children.append(child)
        return child

    async def run(self, command: Sequence[str], environment: Mapping[str, str], seconds: float) -> None:
        """Start `command` and wait until it ends well. Raises LoadFailed with its last words otherwise."""
        child = self.spawn(command, environment)
        if await _ended(child, seconds) != 0:
            raise LoadFailed(f"{' '.join(command)} failed:\n{self.last_words()}")

    def last_words(self) -> str:
        """The end of what the processes wrote."""
        return Path(self._log.name).read_text(errors="replace")[-3000:]

    def cpu_seconds(self) -> float:
        """User and system time of all living processes so far."""
        return sum(_cpu_seconds(pid) for pid in self._members())

    async def end(self) -> int:
        """Ask the commands to end, then make everything end. The number of processes that had to be made to.

        Interrupted, it makes them end at once.
        """
        try:
            for child in self._children:
                with contextlib.suppress(ProcessLookupError):
                    child.send_signal(signal.SIGTERM)
            for child in self._children:
                await _ended(child, _TERM_SECONDS)
            await asyncio.sleep(0.5)
        finally:
            num_left = self._kill()
        return num_left

    def _kill(self) -> int:
        """Without an await, so that nothing interrupts it."""
        num_left = len(self._members())
        while members := self._members():
            for pid in members:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)
        for child in self._children:
            child.wait()
        self._log.close()
        return num_left

    def _members(self) -> list[int]:
        wanted = f"{_MARK}={self._id}".encode()
        pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
        return [pid for pid in pids if wanted in _environment(pid)]


async def _ended(child: subprocess.Popen[bytes], seconds: float) -> int | None:
    """Its exit status; None if it still runs after `seconds`."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while child.poll() is None:
                await asyncio.sleep(0.1)
    return child.poll()


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _cpu_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
