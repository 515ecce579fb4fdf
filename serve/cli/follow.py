"""A run, followed live: its events in order, and what a person sees of them."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from serve.cli.exits import Unreachable
from serve.cli.output import note, plain, write_text
from serve.cli.session import segment

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from serve.cli.client import Client
    from serve.cli.sse import ServerEvent

ENDINGS = frozenset({"succeeded", "failed", "canceled"})
_MAX_RECONNECTS = 6
_FIRST_PAUSE_SECONDS = 0.25


def follow(client: "Client", run_id: str, after: str = "") -> Iterator["ServerEvent"]:
    """The run's events up to its last, each once, over as many connections as it takes.

    Raises CliError when the platform stays away for about fifteen seconds, or refuses.
    """
    num_failures = 0
    while True:
        try:
            for event in client.events(f"/v1/runs/{segment(run_id)}/events", after):
                num_failures, after = 0, event.id or after
                yield event
                if event.kind in ENDINGS:
                    return
        except Unreachable:
            if num_failures >= _MAX_RECONNECTS:
                raise
        if num_failures >= _MAX_RECONNECTS:
            raise Unreachable(client.url, f"the events of run {run_id} end too early")
        time.sleep(_FIRST_PAUSE_SECONDS * 2**num_failures)
        num_failures += 1


@dataclass
class Display:
    """Shows events: text on stdout as it comes, progress and remarks on stderr. `quiet` shows nothing."""

    quiet: bool = False
    num_chars: int = 0
    _progress: "Progress | None" = None
    _task: "TaskID | None" = None
    _ends_with_newline: bool = field(default=True)

    def show(self, event: "ServerEvent") -> None:
        """Show one event."""
        if self.quiet:
            return
        data: dict[str, Any] = json.loads(event.data)
        match event.kind:
            case "queued" | "started":
                self._again()
                self._step(event.kind, 0, None)
            case "progress":
                self._step(str(data.get("phase", "running")), data.get("done", 0), data.get("total"))
            case "output" if isinstance(data.get("text"), str) and not data.get("index"):
                self._write(data["text"])
            case "output" if "asset" in data:
                note(f"output {data.get('name', '')}: {data['asset'].get('id')}")
            case "log":
                note(str(data.get("message", "")))

    def _again(self) -> None:
        """A new attempt writes its answer from the start: what is on the screen is of one that was lost."""
        if self.num_chars:
            self.close()
            note("The answer was interrupted; it starts again.")
            self.num_chars = 0

    def _write(self, text: str) -> None:
        if text:
            self.close_progress()
            write_text(text)
            self.num_chars += len(text)
            self._ends_with_newline = text.endswith("\n")

    def _step(self, phase: str, done: float, total: float | None) -> None:
        # Bars and text in one place destroy each other: once there is text, text is the progress.
        if self.num_chars:
            return
        if self._progress is None:
            self._progress, self._task = _open_progress()
        assert self._task is not None
        self._progress.update(self._task, description=plain(phase), completed=done, total=total)

    def close_progress(self) -> None:
        """Take the bar away."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def close(self) -> None:
        """Leave the terminal at the start of a line."""
        self.close_progress()
        if not self._ends_with_newline:
            write_text("\n")
            self._ends_with_newline = True


def _open_progress() -> "tuple[Progress, TaskID]":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(24), MofNCompleteColumn())
    progress = Progress(*columns, TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal)
    task = progress.add_task("queued", total=None)
    progress.start()
    return progress, task
