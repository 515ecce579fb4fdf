"""Workflows to test with: documents by hand in a few words, and hypothesis strategies for valid ones of every shape.

Drawn documents are made of quick operations alone, so that they give the same wherever and in whatever order they are
executed: chains, fans, lists that nodes are run over, conditions, skipped nodes, and workflows within workflows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from hypothesis import strategies as st

from serve.catalog.builtin import builtin_documents, builtin_names
from serve.catalog.cards import Card
from serve.domain.workflow import WorkflowSpec
from serve.gateway.workflows.known import facts_of
from serve.workflow.facts import Known, ModelFacts, PublishedWorkflow

PAINTER, LANGUAGE, EMBEDDER = "shapes-sd", "smollm2-135m-instruct", "minilm-l6-v2"


@cache
def served_models() -> Mapping[str, ModelFacts]:
    """The built-in models, as workflows know them."""
    cards = [Card(document, "sha256:" + "0" * 64) for document in builtin_documents(builtin_names())]
    return {card.name: facts_of(card) for card in cards}


def ref(node: str, port: str) -> dict[str, Any]:
    """An output of another node."""
    return {"$ref": [node, port]}


def given(name: str) -> dict[str, Any]:
    """An input of the workflow."""
    return {"$input": name}


def workflow(
    nodes: Mapping[str, Mapping[str, Any]],
    outputs: Mapping[str, Sequence[str]] | None = None,
    inputs: Mapping[str, str | Mapping[str, Any]] | None = None,
    **more: Any,
) -> WorkflowSpec:
    """A document: outputs are [node, port] by name, inputs types or more by name."""
    told = {name: {"type": one} if isinstance(one, str) else one for name, one in (inputs or {}).items()}
    interface = {
        "inputs": [{"name": name, **one} for name, one in told.items()],
        "outputs": [{"name": name, "from": list(port)} for name, port in (outputs or {}).items()],
    }
    return WorkflowSpec.model_validate({"interface": interface, "nodes": nodes} | more)


def published(**specs: WorkflowSpec) -> dict[str, PublishedWorkflow]:
    """Version 1 of each, by what node types write."""
    return {f"{name}@1": PublishedWorkflow(name, 1, spec) for name, spec in specs.items()}


def known(workflows: Mapping[str, PublishedWorkflow] | None = None) -> Known:
    """The built-in models, and these workflows."""
    return Known(served_models(), workflows or {})


@dataclass(frozen=True)
class Drawn:
    """A valid workflow, what it names, and values for its inputs; `types` are those of its outputs."""

    spec: WorkflowSpec
    inputs: Mapping[str, Any]
    types: Mapping[str, str]
    workflows: Mapping[str, PublishedWorkflow]

    @property
    def known(self) -> Known:
        """What its tenant has."""
        return known(self.workflows)


@dataclass
class _Sheet:
    """A document in the making: what its nodes can refer to, by type."""

    nodes: dict[str, Any] = field(default_factory=dict)
    ports: dict[str, list[Any]] = field(default_factory=dict)
    outputs: dict[tuple[str, str], str] = field(default_factory=dict)

    def add(self, body: Mapping[str, Any], port: str, port_type: str) -> None:
        """One more node."""
        name = f"n{len(self.nodes)}"
        self.nodes[name] = body
        self.ports.setdefault(port_type, []).append(ref(name, port))
        self.outputs[name, port] = port_type


_NUMBERS = st.integers(-9, 9)
_WORDS = st.text("ab {}", max_size=4)
_MAPPABLE = ("a", "b")


@st.composite
def workflows(draw: st.DrawFn, *, max_nodes: int = 10, is_nesting: bool = True, may_fail: bool = False) -> Drawn:
    """A valid workflow of 1 to `max_nodes` nodes. With `may_fail` some divide by what may be zero."""
    inner = draw(st.none() | workflows(max_nodes=4, is_nesting=False)) if is_nesting else None
    sheet = _Sheet(ports={"number": [given("x"), given("y")], "boolean": [given("flag")]})
    makers = [_calculation, _comparison, _sentence, _list, _mapped, _choice, _conditional, _first, _length]
    makers += [_division] if may_fail else []
    for _ in range(draw(st.integers(1, max_nodes))):
        maker = draw(st.sampled_from(makers))
        if inner is not None and draw(st.integers(0, 4)) == 0:
            _nested(draw, sheet, inner)
        else:
            maker(draw, sheet)
    chosen = draw(st.lists(st.sampled_from(list(sheet.outputs)), min_size=1, max_size=4, unique=True))
    outputs = {f"out{index}": port for index, port in enumerate(chosen)}
    inputs = {"x": "number", "y": {"type": "number", "default": 2}, "flag": {"type": "boolean", "default": True}}
    values = draw(st.fixed_dictionaries({"x": _NUMBERS}, optional={"y": _NUMBERS, "flag": st.booleans()}))
    return Drawn(
        workflow(sheet.nodes, outputs, inputs),
        values,
        {name: sheet.outputs[port] for name, port in outputs.items()},
        published(inner=inner.spec) if inner is not None else {},
    )


def _number(draw: st.DrawFn, sheet: _Sheet) -> Any:
    return draw(_NUMBERS | st.sampled_from(sheet.ports["number"]))


def _any(draw: st.DrawFn, sheet: _Sheet) -> Any:
    """Text, a number or a boolean."""
    singles = [*sheet.ports["number"], *sheet.ports["boolean"], *sheet.ports.get("text", ())]
    return draw(st.sampled_from(singles))


def _calculation(draw: st.DrawFn, sheet: _Sheet) -> None:
    what = draw(st.sampled_from(["add", "subtract", "minimum", "maximum"]))
    body = {"operation": what, "a": _number(draw, sheet), "b": _number(draw, sheet)}
    sheet.add({"type": "op:number.calculate", "inputs": body}, "result", "number")


def _division(draw: st.DrawFn, sheet: _Sheet) -> None:
    body = {"operation": "divide", "a": _number(draw, sheet), "b": draw(st.sampled_from(sheet.ports["number"]))}
    sheet.add({"type": "op:number.calculate", "inputs": body}, "result", "number")


def _comparison(draw: st.DrawFn, sheet: _Sheet) -> None:
    how = draw(st.sampled_from(["less", "equal"]))
    body = {"comparison": how, "a": _number(draw, sheet), "b": _number(draw, sheet)}
    sheet.add({"type": "op:number.compare", "inputs": body}, "result", "boolean")


def _sentence(draw: st.DrawFn, sheet: _Sheet) -> None:
    body = {"template": "{a} and {b}", "value_a": _any(draw, sheet), "value_b": _any(draw, sheet)}
    sheet.add({"type": "op:text.template", "inputs": body}, "text", "text")


def _list(draw: st.DrawFn, sheet: _Sheet) -> None:
    items = {f"item_{index}": _number(draw, sheet) for index in range(draw(st.integers(1, 3)))}
    sheet.add({"type": "op:list.make", "inputs": items}, "items", "list[number]")


def _mapped(draw: st.DrawFn, sheet: _Sheet) -> None:
    """A node that is run over a list: one of another node, or one written down with references in it."""
    written = [_number(draw, sheet) for _ in range(draw(st.integers(0, 3)))]
    items = draw(st.sampled_from([*sheet.ports.get("list[number]", ()), written]))
    over, other = draw(st.permutations(_MAPPABLE))
    node = {
        "type": "op:number.calculate",
        "inputs": {"operation": "add", over: items, other: _number(draw, sheet)},
        "map": [over],
        "maxItems": 16,
        "concurrency": draw(st.integers(1, 3)),
    }
    sheet.add(node, "result", "list[number]")


def _choice(draw: st.DrawFn, sheet: _Sheet) -> None:
    body = {
        "if": draw(st.sampled_from(sheet.ports["boolean"])),
        "then": _number(draw, sheet),
        "else": _number(draw, sheet),
    }
    sheet.add({"type": "op:condition", "inputs": body}, "value", "number")


def _conditional(draw: st.DrawFn, sheet: _Sheet) -> None:
    body = {"operation": "add", "a": _number(draw, sheet), "b": _number(draw, sheet)}
    condition = draw(st.sampled_from(sheet.ports["boolean"]))
    sheet.add({"type": "op:number.calculate", "inputs": body, "when": condition}, "result", "number")


def _first(draw: st.DrawFn, sheet: _Sheet) -> None:
    """The last value is written down, so there always is one."""
    body = {"value_1": draw(st.sampled_from(sheet.ports["number"])), "value_2": draw(_NUMBERS)}
    sheet.add({"type": "op:first", "inputs": body}, "value", "number")


def _length(draw: st.DrawFn, sheet: _Sheet) -> None:
    lists = sheet.ports.get("list[number]")
    items = draw(st.sampled_from(lists)) if lists else [_number(draw, sheet)]
    sheet.add({"type": "op:list.length", "inputs": {"items": items}}, "count", "number")


def _nested(draw: st.DrawFn, sheet: _Sheet, inner: Drawn) -> None:
    """The workflow `inner@1`; sometimes run over a list."""
    inputs: dict[str, Any] = {"x": _number(draw, sheet), "flag": draw(st.sampled_from(sheet.ports["boolean"]))}
    node: dict[str, Any] = {"type": "workflow:inner@1", "inputs": inputs}
    port, port_type = draw(st.sampled_from(list(inner.types.items())))
    if not port_type.startswith("list") and draw(st.booleans()):
        inputs["x"] = draw(st.sampled_from([*sheet.ports.get("list[number]", ()), [1, 2]]))
        node, port_type = node | {"map": ["x"]}, f"list[{port_type}]"
    sheet.add(node, port, port_type)
