"""The house's limits on size, and what every module owes its reader. Part of `make check`."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAX_FILE_LINES = {"tests": 800}
MAX_FUNCTION_LINES = 50
PRODUCT = [
    path
    for part in ("serve", "deployments", "operators")
    for path in sorted((ROOT / part).rglob("*.py"))
    if "node_modules" not in path.parts
]
EVERYTHING = PRODUCT + [path for part in ("tests", "benchmarks") for path in sorted((ROOT / part).rglob("*.py"))]
GENERATED = {"versions"}
"""Folders of migrations: one long function each, by nature."""


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", EVERYTHING, ids=name)
def test_a_file_can_be_read_at_a_sitting(path: Path) -> None:
    limit = MAX_FILE_LINES.get(path.relative_to(ROOT).parts[0], 500)
    assert path.read_text().count("\n") <= limit


@pytest.mark.parametrize("path", PRODUCT, ids=name)
def test_a_module_says_what_it_is_and_its_functions_are_short(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), "no module docstring"
    if path.parent.name in GENERATED:
        return
    long = {
        node.name: (node.end_lineno or node.lineno) - node.lineno + 1
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert not {function: lines for function, lines in long.items() if lines > MAX_FUNCTION_LINES}


def test_packages_are_docstrings() -> None:
    for path in (path for path in PRODUCT if path.name == "__init__.py" and path.parent.name != "builtin"):
        assert len(ast.parse(path.read_text()).body) <= 1, name(path)


def test_tests_have_no_packages() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))
