"""The editor in the browser refuses the same links as the compiler does, and for that has the compiler's answers.

Refresh them with `PYTHONPATH=tests python tests/contract/test_web_joins.py > serve/web/src/editor/core/joins.json`;
`joining.test.ts` holds the editor to every one of them, and to the node types in the same file.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from fakes.workflows import known, workflow

from serve.domain.port_types import Kind
from serve.workflow.compiling.compiling import compile_workflow
from serve.workflow.graph import Graph
from serve.workflow.operation import In, Operation, Out, Quick
from serve.workflow.operations import OPERATIONS
from serve.workflow.ports.node_types import node_types

SNAPSHOT = Path(__file__).parents[2] / "serve/web/src/editor/core/joins.json"
TYPES = [written for kind in Kind for written in (str(kind), f"list[{kind}]")]
GENERIC = {"condition": ("then", "else"), "list.make": ("item_1", "item_2"), "list.concat": ("list_1", "list_2")}
OF_PORTS = ("name", "type", "required", "default", "many")


class _One(Quick):
    """Takes or gives one type."""

    title: ClassVar[str] = ""
    description: ClassVar[str] = ""
    category: ClassVar[str] = ""

    def apply(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        raise AssertionError("nothing is run here")


def _gives(written: str) -> Operation:
    made: Operation = type(
        "Gives", (_One,), {"name": f"gives.{written}", "inputs": {}, "outputs": {"out": Out(written)}}
    )()
    return made


def _takes(written: str) -> Operation:
    ends = {"name": f"takes.{written}", "inputs": {"in": In(written, "")}, "outputs": {"out": Out("json")}}
    made: Operation = type("Takes", (_One,), ends)()
    return made


MADE: dict[str, Operation] = {one.name: one for written in TYPES for one in (_gives(written), _takes(written))}
MADE |= OPERATIONS


def _compiled(nodes: dict[str, Any], port: str = "out") -> Graph | None:
    return compile_workflow(workflow(nodes, {"out": ["it", port]}), known(), operations=MADE).graph


def _joins(given: str, wanted: str) -> str | None:
    """How a value of one type goes into a port of another: as a whole, as an item of a list, item by item; or not."""
    ref = {"$ref": ["from", "out"]}
    ways: dict[str, dict[str, Any]] = {
        "whole": {"inputs": {"in": ref}},
        "item": {"inputs": {"in": [ref]}},
        "map": {"inputs": {"in": ref}, "map": ["in"]},
    }
    for way, more in ways.items():
        if way == "item" and not wanted.startswith("list["):
            continue
        nodes = {"from": {"type": f"op:gives.{given}"}, "it": {"type": f"op:takes.{wanted}", **more}}
        if _compiled(nodes) is not None:
            return way
    return None


def _generic(name: str, one: str, other: str) -> str | None:
    """The type of what comes out of an operation that is given both; None where they do not go together."""
    first, second = GENERIC[name]
    given = {first: {"$ref": ["one", "out"]}, second: {"$ref": ["other", "out"]}}
    more: dict[str, Any] = {"if": True} if name == "condition" else {}
    nodes = {
        "one": {"type": f"op:gives.{one}"},
        "other": {"type": f"op:gives.{other}"},
        "it": {"type": f"op:{name}", "inputs": given | more},
    }
    port = next(iter(OPERATIONS[name].outputs))
    graph = _compiled(nodes, port)
    return None if graph is None else str(graph.output_types["out"])


def _answered(ask: Callable[[str], str | None]) -> dict[str, str]:
    """By type; those that are refused are left out."""
    return {written: answer for written in TYPES if (answer := ask(written)) is not None}


def _plain_types() -> Iterator[dict[str, Any]]:
    """Of what there is: what joining looks at."""
    for one in node_types(known(), OPERATIONS):
        inputs = [
            {key: port[key] for key in OF_PORTS if port[key] not in (None, False)}
            | (
                {"schema": {"enum": port["schema"]["enum"]}}
                if port["name"] == "type" and "enum" in port["schema"]
                else {}
            )
            for port in one["inputs"]
        ]
        outputs = [{"name": port["name"], "type": port["type"]} for port in one["outputs"]]
        yield {key: one.get(key) for key in ("type", "task", "title")} | {"inputs": inputs, "outputs": outputs}


def joins() -> dict[str, Any]:
    """What the snapshot has."""
    return {
        "types": TYPES,
        "joins": {given: _answered(partial(_joins, given)) for given in TYPES},
        "generic": {name: {one: _answered(partial(_generic, name, one)) for one in TYPES} for name in GENERIC},
        "nodeTypes": list(_plain_types()),
    }


def test_the_editor_has_the_compilers_answers() -> None:
    assert joins() == json.loads(SNAPSHOT.read_text()), "refresh it: see this file's docstring"


if __name__ == "__main__":
    json.dump(joins(), sys.stdout, separators=(",", ":"))
