"""What reading commands print: a table for people, JSON or YAML for programs.

Tables are plain columns, never cut to the terminal's width, so that a pipe sees what a person sees. Text that came
from a model or from another user loses its control characters before it reaches a terminal.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer


class Format(StrEnum):
    """How results are printed."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


Output = Annotated[Format, typer.Option("--output", "-o", help="How to print the result.")]

_COLORS = {
    "ready": typer.colors.GREEN,
    "succeeded": typer.colors.GREEN,
    "ok": typer.colors.GREEN,
    "failed": typer.colors.RED,
    "missing": typer.colors.RED,
    "revoked": typer.colors.RED,
    "expired": typer.colors.RED,
    "canceled": typer.colors.YELLOW,
    "warning": typer.colors.YELLOW,
    "loading": typer.colors.YELLOW,
    "running": typer.colors.CYAN,
}
_KEPT_CONTROLS = "\n\t"
_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60))


def print_data(data: Any, form: Format) -> None:
    """`data` as JSON or YAML, non-ASCII text left readable."""
    if form is Format.JSON:
        typer.echo(json.dumps(data, indent=2, ensure_ascii=False))
        return
    from serve.catalog.yaml_text import as_yaml

    typer.echo(as_yaml(data).rstrip("\n"))


def print_table(headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Aligned columns under upper-case headings; None and "" show as a dash."""
    from rich.cells import cell_len

    lines = [[heading.upper() for heading in headings], *([cell(value) for value in row] for row in rows)]
    widths = [max(cell_len(line[column]) for line in lines) for column in range(len(headings))]
    for line in lines:
        padded = (_colored(text) + " " * (width - cell_len(text)) for text, width in zip(line, widths, strict=True))
        typer.echo("   ".join(padded).rstrip())


def print_fields(fields: Iterable[tuple[str, Any]]) -> None:
    """`name: value` lines, the values in one column; what is None, "" or empty is left out."""
    shown = [(name, value) for name, value in fields if value not in (None, "", [], {})]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        typer.echo(f"{name + ':':<{width + 1}}   {_colored(cell(value))}")


def cell(value: Any) -> str:
    """`value` on one line."""
    if value is None or value == "":
        return "-"
    if isinstance(value, list):
        return ", ".join(cell(item) for item in value)
    if isinstance(value, dict | bool):
        return json.dumps(value, ensure_ascii=False)
    return " ".join(plain(str(value)).split())


def _colored(text: str) -> str:
    color = _COLORS.get(text)
    return typer.style(text, fg=color) if color else text


def plain(text: str) -> str:
    """`text` without control characters except newline and tab: escape sequences would drive the terminal."""
    return "".join(char for char in text if char in _KEPT_CONTROLS or not _is_control(char))


def _is_control(char: str) -> bool:
    return char < " " or "\x7f" <= char <= "\x9f"


def write_text(text: str) -> None:
    """Model text to stdout at once; as it is into a pipe, made harmless for a terminal."""
    sys.stdout.write(plain(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()


def note(text: str) -> None:
    """A remark on stderr, where it does not mix with results."""
    typer.secho(plain(text), err=True, dim=True)


def age(moment: str | None) -> str:
    """How long ago an RFC 3339 time was, in its largest unit."""
    if not moment:
        return "-"
    seconds = (datetime.now(UTC) - parse_time(moment)).total_seconds()
    return duration(seconds)


def duration(seconds: float) -> str:
    """`seconds` in the largest unit that it fills, or in seconds."""
    for unit, size in _UNITS:
        if seconds >= size:
            return f"{seconds // size:.0f}{unit}"
    return f"{max(seconds, 0):.0f}s"


def seconds_between(start: str | None, end: str | None) -> float | None:
    """Seconds from one RFC 3339 time to another, None if either is missing."""
    return (parse_time(end) - parse_time(start)).total_seconds() if start and end else None


def parse_time(moment: str) -> datetime:
    """An RFC 3339 time, `Z` or offset; one without either is taken as UTC."""
    parsed = datetime.fromisoformat(moment)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
