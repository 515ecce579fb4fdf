"""Programs that run beside this process, their words in a file: pip, and the converter."""

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_TICK_SECONDS = 0.25
_TIMEOUT_SECONDS = 3600.0
"""Neither a download nor a conversion takes an hour; what does has hung, and holds a lock that others wait for."""


def run_beside(
    command: Sequence[str], log: Path, environment: Mapping[str, str], tick: Callable[[], None], cwd: Path | None = None
) -> int:
    """The exit status of `command`. What it says is in `log`; `tick` is called while it works, to look how far it is.

    Raises:
        TimeoutError: it took an hour, and was killed.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            cwd=cwd,
        )
        try:
            return _wait(process, tick)
        finally:
            process.kill()
            process.wait()


def _wait(process: "subprocess.Popen[bytes]", tick: Callable[[], None]) -> int:
    until = time.monotonic() + _TIMEOUT_SECONDS
    while True:
        tick()
        try:
            return process.wait(_TICK_SECONDS)
        except subprocess.TimeoutExpired:
            if time.monotonic() > until:
                raise TimeoutError(f"it took more than {_TIMEOUT_SECONDS:g} seconds") from None
