"""Files on their way: a bar where that takes long, and on disk whole or not at all."""

import io
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from serve.cli.exits import CliError

if TYPE_CHECKING:
    from serve.cli.client import Client

_LONG_BYTES = 8 * 2**20
"""What takes so many bytes has a bar; what takes fewer is there before one could be read."""

Moved = Callable[[int], None]
"""Told of bytes that have gone or come."""


class CountedFile(io.BufferedReader):
    """A file that says how much of it was read. Raises OSError where there is none."""

    def __init__(self, path: Path, moved: Moved) -> None:
        super().__init__(io.FileIO(path))
        self._moved = moved

    def read(self, size: int | None = -1, /) -> bytes:
        """As a file does."""
        chunk = super().read(size)
        self._moved(len(chunk))
        return chunk


@contextmanager
def bar(doing: str, num_bytes: int, then: str = "") -> Iterator[Moved]:
    """A bar on the terminal, moved by what this gives; `then` is what goes on once every byte has moved."""
    if num_bytes < _LONG_BYTES:
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(24), DownloadColumn(), TransferSpeedColumn())
    is_hidden = not console.is_terminal
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=is_hidden) as progress:
        task, left = progress.add_task(doing, total=num_bytes), num_bytes

        def moved(more: int) -> None:
            nonlocal left
            left -= more
            progress.update(task, advance=more, description=then if then and left <= 0 else doing)

        yield moved


def write(path: Path, client: "Client", address: str, moved: Moved = lambda _: None) -> None:
    """Write what is at `address` to `path`, which appears whole or not at all. Raises OSError, CliError."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".slipway-")
    try:
        with os.fdopen(handle, "wb") as file:
            for chunk in client.download(address):
                file.write(chunk)
                moved(len(chunk))
        Path(temporary).chmod(0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextmanager
def writing(path: Path, advice: str = "") -> Iterator[None]:
    """What goes wrong with files in here is said with the name of `path`, whose folder is made before."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise CliError(f"Cannot write {path}: {error}", details=advice) from error
