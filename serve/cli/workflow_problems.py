"""What is wrong with a workflow, as a terminal shows it: where, which code, and a sentence."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import typer

from serve.cli.output import plain

Problem = Mapping[str, Any]
"""node, field, code, message and severity; file and line where the workflow came from a file."""


def problem_line(problem: Problem) -> str:
    """`error  think  inputs.prompt: prompt needs a value  (missing_input)`."""
    where = " ".join(str(problem[key]) for key in ("node", "field") if problem.get(key))
    said = f"{where}: {problem['message']}" if where else str(problem["message"])
    line = f":{problem['line']}" if problem.get("line") else ""
    place = f"{problem['file']}{line}: " if problem.get("file") else ""
    return f"{place}{problem['severity']}: {said} ({problem['code']})"


def print_problems(problems: Iterable[Problem]) -> None:
    """Each on a line of stderr."""
    for problem in problems:
        color = typer.colors.RED if problem["severity"] == "error" else typer.colors.YELLOW
        typer.secho(plain(problem_line(problem)), err=True, fg=color)


def placed(problems: Sequence[Problem], file: str, base: Sequence[str], lines: Mapping[Any, int]) -> list[Problem]:
    """`problems` with the file and line of what they are about; `base` leads to the workflow in the document."""
    return [{"file": file, "line": _line(problem, base, lines), **problem} for problem in problems]


def _line(problem: Problem, base: Sequence[str], lines: Mapping[Any, int]) -> int:
    """The line of the field, or of the nearest thing around it that is written."""
    path: tuple[Any, ...] = tuple(base)
    node, field = problem.get("node"), problem.get("field")
    words = (["nodes", node] if node else []) + (str(field).split(".") if field else [])
    for word in words:
        found = next((step for step in _spellings(str(word)) if (*path, step) in lines), None)
        if found is None:
            break
        path = (*path, found)
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


def _spellings(word: str) -> Iterable[Any]:
    """Fields are told as programs name them, and written in a document as JSON does."""
    first, *rest = word.split("_")
    return (int(word) if word.isdigit() else word, word, first + "".join(part.capitalize() for part in rest))
