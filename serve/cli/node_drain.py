"""Letting a node go: Ray moves its replicas elsewhere first, and they end what they have begun.

Ray is reached through its command: nothing under `serve` imports it.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

_REPLICA = b"ray::ServeReplica:"
"""How the processes of replicas are called."""
_ASK_SECONDS = 30.0
"""For Ray's answer: its head may be gone already, and then there is nothing to wait for."""
_POLL_SECONDS = 0.5


def drain_node(seconds: float, proc: Path = Path("/proc"), ask: Callable[[float], bool] | None = None) -> int:
    """Tell Ray that this node ends in `seconds`, and wait until its replicas are gone. Gives how many are not.

    `ask` tells Ray, and gives whether it was heard. Where it was not, there is no waiting.
    """
    began = time.monotonic()
    if not (ask or announce)(seconds):
        return num_replicas(proc)
    while (remaining := num_replicas(proc)) and time.monotonic() - began < seconds:
        time.sleep(_POLL_SECONDS)
    return remaining


def num_replicas(proc: Path) -> int:
    """Replicas in this pod, by their processes' titles."""
    return sum(_title(entry).startswith(_REPLICA) for entry in proc.iterdir() if entry.name.isdigit())


def _title(entry: Path) -> bytes:
    try:
        return (entry / "cmdline").read_bytes()
    except OSError:
        return b""


def announce(seconds: float) -> bool:
    """Ray starts nothing more here, and replaces what is here. Gives whether it was told."""
    try:
        done = subprocess.run(drain_command(seconds), capture_output=True, text=True, timeout=_ASK_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        sys.stderr.write("Ray's head does not answer.\n")
        return False
    sys.stderr.write(done.stderr[-2000:])
    return done.returncode == 0


def drain_command(seconds: float) -> Sequence[str]:
    """Ray's own. Preemption, since a node that is only idle may refuse to go while it has work."""
    options = {
        "reason": "DRAIN_NODE_REASON_PREEMPTION",
        "reason-message": "The pod ends.",
        "deadline-remaining-seconds": max(1, int(seconds)),
    }
    return [sys.executable, "-m", "ray.scripts.scripts", "drain-node", *(f"--{k}={v}" for k, v in options.items())]
