"""What the terminal shows while several things go on at once: one line per part, with its state."""

import time
from dataclasses import dataclass
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from serve.cli.output import plain

_MARKS = {
    "ready": ("✓", "green"),
    "succeeded": ("✓", "green"),
    "failed": ("✗", "red"),
    "canceled": ("✗", "yellow"),
    "at_zero": ("·", "dim"),
    "cached": ("·", "dim"),
    "skipped": ("·", "dim"),
}


_BAR_WIDTH = 24


@dataclass(frozen=True, slots=True)
class _Row:
    state: str
    detail: str
    fraction: float | None
    since: float

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.since


class Board:
    """Lines by part. On a terminal they change in place; elsewhere each change is a line of the log."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._rows: dict[str, _Row] = {}
        self._live = Live(console=console, refresh_per_second=8, transient=False) if console.is_terminal else None

    def __enter__(self) -> "Board":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, part: str, state: str, detail: str = "", fraction: float | None = None) -> None:
        """`part` is now in `state`: of a model waiting, downloading, converting, starting, ready, at_zero, failed; of a
        step what its run says.

        `fraction`, from 0 to 1, is how much of it is done.
        """
        known = self._rows.get(part)
        row = self._rows[part] = _Row(state, detail, fraction, known.since if known else time.monotonic())
        if self._live is not None:
            self._live.update(self._table())
        elif known is None or known.state != state:
            text = f"{part}: {state}{f' {detail}' if detail else ''} ({row.seconds:.0f} s)"
            self._console.print(plain(text), highlight=False, markup=False)

    def drop(self, part: str) -> None:
        """Take away the line of `part`; a log keeps what it was told."""
        self._rows.pop(part, None)
        if self._live is not None:
            self._live.update(self._table())

    def state(self, part: str) -> str | None:
        """The state last shown for `part`."""
        row = self._rows.get(part)
        return row.state if row else None

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 1))
        for part, row in self._rows.items():
            mark = _MARKS.get(row.state)
            icon = Text(mark[0], style=mark[1]) if mark else Spinner("dots")
            state = Text(row.state.replace("_", " "), style=mark[1] if mark else "")
            bar = "" if row.fraction is None else ProgressBar(1.0, row.fraction, width=_BAR_WIDTH)
            table.add_row(icon, Text(part), state, bar, Text(plain(row.detail)), "" if mark else f"{row.seconds:.0f} s")
        return table
