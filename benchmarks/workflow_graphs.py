"""Graphs for `benchmarks.workflows`: every node adds two numbers, and no two do the same."""

import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar

from serve.domain.steps import OperationStep
from serve.domain.workflow import WorkflowSpec
from serve.workflow.compiling.compiling import compile_workflow
from serve.workflow.facts import Known
from serve.workflow.graph import Graph
from serve.workflow.operation import In, OnFiles, Operation, Out
from serve.workflow.operations import OPERATIONS

_X = {"$input": "x"}
_WIDTH = 10
_MOST = 100


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": [name, "result"]}


def _add(a: Any, b: Any) -> dict[str, Any]:
    return {"type": "op:number.calculate", "inputs": {"operation": "add", "a": a, "b": b}}


def _document(nodes: Mapping[str, Any], output: str, port: str = "result") -> dict[str, Any]:
    outputs = [{"name": "out", "from": [output, port]}]
    return {"interface": {"inputs": [{"name": "x", "type": "number"}], "outputs": outputs}, "nodes": dict(nodes)}


def chain(size: int) -> dict[str, Any]:
    """One after another."""
    nodes = {f"n{index}": _add(_ref(f"n{index - 1}") if index else _X, index + 1) for index in range(size)}
    return _document(nodes, f"n{size - 1}")


def fan(size: int) -> dict[str, Any]:
    """All beside one another, and those that take them together, a hundred each."""
    num_lists = -(-size // (_MOST + 1))
    names = [f"n{index}" for index in range(size - num_lists)]
    nodes: dict[str, Any] = {name: _add(_X, index + 1) for index, name in enumerate(names)}
    outputs = []
    for index in range(num_lists):
        some = names[index * _MOST : (index + 1) * _MOST]
        inputs = {f"item_{place}": _ref(name) for place, name in enumerate(some)}
        nodes[f"all{index}"] = {"type": "op:list.make", "inputs": inputs}
        outputs.append({"name": f"out{index}", "from": [f"all{index}", "items"]})
    found = _document(nodes, "all0", "items")
    return found | {"interface": found["interface"] | {"outputs": outputs}}


def diamonds(size: int) -> dict[str, Any]:
    """One, two, one, two, ..."""
    nodes: dict[str, Any] = {"top0": _add(_X, 1)}
    index = 0
    while len(nodes) + 3 <= size:
        nodes[f"left{index}"] = _add(_ref(f"top{index}"), 3 * index + 2)
        nodes[f"right{index}"] = _add(_ref(f"top{index}"), 3 * index + 3)
        nodes[f"top{index + 1}"] = _add(_ref(f"left{index}"), _ref(f"right{index}"))
        index += 1
    return _document(nodes, f"top{index}")


def layered(size: int) -> dict[str, Any]:
    """Layers of ten, each node fed by two of the layer before."""
    nodes: dict[str, Any] = {}
    for index in range(size - 1):
        layer, place = divmod(index, _WIDTH)
        if not layer:
            nodes[f"n{index}"] = _add(_X, index + 1)
        else:
            before = (layer - 1) * _WIDTH
            nodes[f"n{index}"] = _add(_ref(f"n{before + place}"), _ref(f"n{before + (place * 3 + layer) % _WIDTH}"))
    last = [f"n{index}" for index in range(max(0, size - 1 - _WIDTH), size - 1)]
    nodes["all"] = {"type": "op:list.make", "inputs": {f"item_{i}": _ref(name) for i, name in enumerate(last)}}
    return _document(nodes, "all", "items")


def with_other_leaf(document: Mapping[str, Any]) -> dict[str, Any]:
    """The last addition is a subtraction."""
    nodes = dict(document["nodes"])
    last = [name for name, node in nodes.items() if "operation" in node["inputs"]][-1]
    nodes[last] = nodes[last] | {"inputs": nodes[last]["inputs"] | {"operation": "subtract"}}
    return {**document, "nodes": nodes}


SHAPES = {"chain": chain, "fan": fan, "diamonds": diamonds, "layered": layered}


class Sleep(OnFiles):
    """Takes its time, where operations on files are done."""

    name = "sleep"
    title = "Sleep"
    description = "Waits."
    category = "Benchmark"
    inputs: ClassVar = {"value": In("number", "Any.")}
    outputs: ClassVar = {"result": Out("number")}

    async def apply(self, values: Mapping[str, Any], files: Any) -> Mapping[str, Any]:
        """See `OnFiles`."""
        return {"result": values["value"]}


class Sleeping:
    """Implements `serve.domain.steps.Operations`: everything takes so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def perform(self, step: OperationStep) -> Mapping[str, Any]:
        """See `Operations`."""
        await asyncio.sleep(self._seconds)
        return {"result": step.inputs["value"]}

    @staticmethod
    def operations() -> Mapping[str, Operation]:
        """The table with it."""
        return {**OPERATIONS, "sleep": Sleep()}

    @staticmethod
    def branches(num: int) -> dict[str, Any]:
        """So many of them beside one another."""
        nodes: dict[str, Any] = {f"n{index}": {"type": "op:sleep", "inputs": {"value": index}} for index in range(num)}
        inputs = {f"item_{index}": _ref(f"n{index}") for index in range(num)}
        nodes["all"] = {"type": "op:list.make", "inputs": inputs}
        return _document(nodes, "all", "items")


def compiled(document: Mapping[str, Any], operations: Mapping[str, Operation] = OPERATIONS) -> Graph:
    """The document as a graph."""
    found = compile_workflow(WorkflowSpec.model_validate(document), Known({}), operations=operations)
    if found.graph is None:
        raise RuntimeError(f"a graph of the benchmark does not compile: {found.problems[:3]}")
    return found.graph
