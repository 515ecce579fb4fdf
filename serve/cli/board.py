"""What the terminal shows while a platform starts: one line per part, with its state."""

import time
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

_MARKS = {"ready": ("✓", "green"), "failed": ("✗", "red"), "at_zero": ("·", "dim")}


class Board:
    """Lines by part. On a terminal they change in place; elsewhere each change is a line of the log."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._rows: dict[str, tuple[str, str, float]] = {}
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

    def show(self, part: str, state: str, detail: str = "") -> None:
        """`part` is now in `state`: waiting, downloading, converting, starting, ready, at_zero, failed."""
        known = self._rows.get(part)
        since = known[2] if known else time.monotonic()
        self._rows[part] = (state, detail, since)
        if self._live is not None:
            self._live.update(self._table())
        elif known is None or known[0] != state:
            seconds = time.monotonic() - since
            self._console.print(f"{part}: {state}{f' {detail}' if detail else ''} ({seconds:.0f} s)", highlight=False)

    def state(self, part: str) -> str | None:
        """The state last shown for `part`."""
        row = self._rows.get(part)
        return row[0] if row else None

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 1))
        for part, (state, detail, since) in self._rows.items():
            mark = _MARKS.get(state)
            icon = Text(mark[0], style=mark[1]) if mark else Spinner("dots")
            seconds = "" if mark else f"{time.monotonic() - since:.0f} s"
            table.add_row(icon, part, Text(state.replace("_", " "), style=mark[1] if mark else ""), detail, seconds)
        return table
