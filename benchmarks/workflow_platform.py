"""The servers of `benchmarks.workflow_path`, started and ended, and what they took: CPU time and memory by process."""

import asyncio
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

from benchmarks.load import LoadFailed, Target
from benchmarks.processes import Processes, free_port

GATEWAY, RUNNER, PLAIN = "gateway", "runner", "plain"
KEY_FILE = "key"
"""In a platform's folder: what lets its client in."""
_START_SECONDS = 60.0
_HOST = "127.0.0.1"


class Platform:
    """A gateway and a runner over a folder of their own, and the server that was written by hand."""

    def __init__(self, sizes: list[int]) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="slipway-bench-"))
        self._processes = Processes()
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._sizes = sizes

    async def start(self) -> tuple[Target, Target]:
        """Ours, and the other. Raises LoadFailed when one does not come up."""
        ours, plain = free_port(), free_port()
        state, server = ["--folder", str(self._folder)], "benchmarks.workflow_server"
        sizes = ",".join(map(str, self._sizes))
        self._spawn(PLAIN, "benchmarks.plain_workflows", "--port", str(plain), "--sizes", sizes)
        self._spawn(GATEWAY, server, "gateway", *state, "--port", str(ours))
        await self._up(GATEWAY, f"http://{_HOST}:{ours}/readyz")
        self._spawn(RUNNER, server, "runner", *state)
        await self._up(PLAIN, f"http://{_HOST}:{plain}/health")
        return Target(_HOST, ours, (self._folder / KEY_FILE).read_text()), Target(_HOST, plain)

    def _spawn(self, name: str, module: str, *arguments: str) -> None:
        command = [sys.executable, "-m", module, *arguments]
        self._children[name] = self._processes.spawn(command, {"OMP_NUM_THREADS": "1"})

    async def _up(self, name: str, url: str) -> None:
        async with asyncio.timeout(_START_SECONDS), httpx.AsyncClient() as client:
            while True:
                if self._children[name].poll() is not None:
                    raise LoadFailed(f"the {name} ended:\n{self._processes.last_words()}")
                try:
                    if (await client.get(url)).status_code == 200:
                        return
                except httpx.HTTPError:
                    await asyncio.sleep(0.1)

    def cpu_seconds(self, name: str) -> float:
        """Of all threads of a process so far, to the microsecond."""
        # How Linux names the CPU clock of another process (clock_getcpuclockid), which Python has no name for.
        return time.clock_gettime((~self._children[name].pid << 3) | 2)

    def rss_mib(self, name: str) -> float:
        """Memory of a process, resident."""
        status = Path(f"/proc/{self._children[name].pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) / 1024

    async def stop(self) -> int:
        """How many processes had to be made to end."""
        try:
            return await self._processes.end()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)
