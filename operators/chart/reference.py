"""The chart's README: its table of values, from the comments in values.yaml that begin with `# --`."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

_KEY = re.compile(r"^(?P<indent> *)(?P<key>[A-Za-z0-9_]+):")
_BEGIN, _END = "<!-- values: written by `make render` -->\n", "<!-- end of values -->\n"


@dataclass(frozen=True, slots=True)
class Value:
    """One value that is described."""

    path: str
    default: Any
    description: str


def described_values(text: str) -> list[Value]:
    """The values of a values.yaml that have a comment of theirs, in its order."""
    values = yaml.safe_load(text)
    return [Value(".".join(path), _at(values, path), " ".join(words)) for path, words in _keys(text) if words]


def _keys(text: str) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """Every key's path, and the comment right above it."""
    path: list[tuple[int, str]] = []
    words: list[str] = []
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("# --"):
            words = [stripped.removeprefix("# --").strip()]
        elif stripped.startswith("#") and words:
            words.append(stripped.removeprefix("#").strip())
        elif found := _KEY.match(line):
            indent = len(found["indent"])
            path = [(at, key) for at, key in path if at < indent] + [(indent, found["key"])]
            yield tuple(key for _, key in path), words
            words = []


def _at(values: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        values = values[key]
    return values


def values_table(text: str) -> str:
    """Markdown."""
    rows = [
        f"| `{value.path}` | {_default(value.default)} | {_cell(value.description)} |"
        for value in described_values(text)
    ]
    return "\n".join(["| Value | Default | |", "|---|---|---|", *rows]) + "\n"


def _default(value: Any) -> str:
    """JSON, which is YAML too; of what is longer only that there is something."""
    text = json.dumps(value)
    return f"`{text}`" if len(text) <= 40 else "see values.yaml"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def with_table(readme: str, values: str) -> str:
    """A README with its table made anew.

    Raises:
        ValueError: the marks around the table are missing.
    """
    before, _, rest = readme.partition(_BEGIN)
    _, mark, after = rest.partition(_END)
    if not mark:
        raise ValueError("the README has no place for the table of values")
    return f"{before}{_BEGIN}{values_table(values)}{_END}{after}"
