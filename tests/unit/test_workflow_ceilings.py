"""What is held for a workflow's run: never less than what any execution of it can cost."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import pytest
from fakes.gateway import model_document
from fakes.workflows import given as of
from fakes.workflows import known, published, ref, workflow
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.catalog.cards import Card
from serve.domain.documents import Prices
from serve.domain.errors import InvalidRequest, NotFound
from serve.domain.images import Sampler
from serve.domain.task import Task
from serve.domain.usage import PriceId, Quantities
from serve.domain.workflow import WorkflowSpec
from serve.gateway.workflows.calls import Call, calls_of
from serve.gateway.workflows.ceilings import MOST_BYTES_PER_CHARACTER, OPEN_PROMPT_TOKENS, RunBound, bound_of
from serve.gateway.workflows.known import facts_of
from serve.metering.prices.ceiling import MAX_PIXELS, ceiling, text_tokens
from serve.metering.prices.prices import PriceVersion, cost_of
from serve.workflow.compiling.compiling import compile_workflow
from serve.workflow.facts import Known, PublishedWorkflow
from serve.workflow.graph import Graph, Node, NodeKind
from serve.workflow.operations import OPERATIONS

TALKER, SEER, PAINTER, VLLM = "talker", "seer", "painter", "unbounded"
PARSED = next(iter(OPERATIONS["number.parse"].outputs))
_INPUTS = {"steps": {"default": 4, "maximum": 20}, "width": {"default": 64, "maximum": 512}}


@cache
def cards() -> Mapping[str, Card]:
    documents = [
        model_document(TALKER, ["chat", "completion"], engine={"kind": "echo", "maxModelLen": 512}),
        model_document(SEER, ["embedding"], engine={"kind": "echo", "maxModelLen": 256}),
        model_document(
            PAINTER,
            ["text_to_image", "image_to_image"],
            family="text_to_image",
            card={"title": "p", "inputs": _INPUTS},
            adapters={"enabled": True},
        ),
        model_document(VLLM, ["chat"], engine={"kind": "vllm"}, weights={"uri": "builtin://smollm2-135m-instruct"}),
    ]
    return {document.name: Card(document, "sha256:" + "0" * 64) for document in documents}


@cache
def models() -> Any:
    return {name: facts_of(card) for name, card in cards().items()}


def price(**prices: str) -> PriceVersion:
    return PriceVersion(PriceId("p"), "m", "", 0, Prices.model_validate(prices))


PRICES = {
    TALKER: price(prompt="1", cachedPrompt="0.3", completion="2", request="0.001"),
    SEER: price(prompt="0.7"),
    PAINTER: price(prompt="3", image="0.01", megapixelStep="0.1", inputImage="0.002", adapterPercent="10"),
    VLLM: price(prompt="1", completion="1"),
}


def compiled(spec: WorkflowSpec, workflows: Mapping[str, PublishedWorkflow] | None = None) -> Graph:
    found = compile_workflow(spec, Known(models(), workflows or {}))
    assert found.graph is not None, found.problems
    return found.graph


def calls(spec: WorkflowSpec, inputs: Mapping[str, Any] | None = None, **workflows: WorkflowSpec) -> list[Call]:
    return calls_of(compiled(spec, published(**workflows)), models(), inputs or {})


def bound(spec: WorkflowSpec, inputs: Mapping[str, Any] | None = None, **workflows: WorkflowSpec) -> RunBound:
    return bound_of(calls(spec, inputs, **workflows), cards(), {})


def chat(**inputs: Any) -> dict[str, Any]:
    return {"type": f"model:{TALKER}", "task": "chat", "inputs": inputs}


def paint(**inputs: Any) -> dict[str, Any]:
    return {"type": f"model:{PAINTER}", "task": "text_to_image", "inputs": {"prompt": "a cat"} | inputs}


def alone(task: Task, model: str, **inputs: Any) -> Quantities:
    card = cards()[model]
    valid = card.validate(task, inputs).model_dump(mode="json", by_alias=True)
    return ceiling(task, valid, card.document.spec)


def test_a_node_whose_inputs_are_written_down_is_bounded_as_a_call_by_itself() -> None:
    spec = workflow({"ask": chat(prompt="hello", max_tokens=7)}, {"out": ("ask", "text")})
    expected = alone(Task.CHAT, TALKER, messages=[{"role": "user", "content": "hello"}], max_tokens=7)
    assert bound(spec).quantities == expected


def test_an_input_of_the_run_is_known() -> None:
    spec = workflow(
        {"gen": paint(steps=of("steps"), prompt=of("what"))},
        {"out": ("gen", "image")},
        {"steps": "number", "what": "text"},
    )
    found = bound(spec, {"steps": 11, "what": "a dog"})
    assert found.quantities == alone(Task.TEXT_TO_IMAGE, PAINTER, prompt="a dog", steps=11)


def test_a_text_that_another_node_makes_is_as_long_as_the_context() -> None:
    spec = workflow({"a": chat(prompt="x"), "b": chat(prompt=ref("a", "text"), max_tokens=5)}, {"out": ("b", "text")})
    found = bound(spec)
    assert found.prompt_tokens(TALKER) == 512
    assert [one.most(512).prompt_tokens for one in found.calls] == [512, 512]
    assert found.quantities.completion_tokens == 512 + 5


def test_a_prompt_is_bounded_where_the_models_context_is_not_known() -> None:
    talk = {"type": f"model:{VLLM}", "inputs": {"prompt": ref("a", "text"), "max_tokens": 1}}
    spec = workflow({"a": chat(prompt="x"), "b": talk}, {"out": ("b", "text")})
    assert bound(spec).prompt_tokens(VLLM) == OPEN_PROMPT_TOKENS


def test_numbers_and_choices_that_are_open_count_as_the_cards_widest() -> None:
    nodes = {
        "a": chat(prompt="x"),
        "n": {"type": "op:number.parse", "inputs": {"text": ref("a", "text")}},
        "gen": paint(steps=ref("n", PARSED), width=ref("n", PARSED), sampler=ref("a", "text")),
    }
    found = bound(workflow(nodes, {"out": ("gen", "image")}))
    gen = next(one for one in found.calls if one.call.label == "gen")
    widest = alone(Task.TEXT_TO_IMAGE, PAINTER, prompt="a cat", steps=20, width=512, sampler=Sampler.HEUN.value)
    assert widest.within(gen.most())
    assert gen.most().pixels == 512 * 512


def test_a_picture_made_of_one_of_unknown_size_is_as_large_as_the_model_makes_any() -> None:
    edit = {"type": f"model:{PAINTER}", "task": "image_to_image", "inputs": {"prompt": "b", "image": ref("a", "image")}}
    found = bound(workflow({"a": paint(), "b": edit}, {"out": ("b", "image")}))
    assert max(one.most().pixels for one in found.calls) == MAX_PIXELS


def test_a_list_that_is_known_counts_item_by_item_and_another_as_long_as_it_may_be() -> None:
    each = chat(prompt=of("words"), max_tokens=3) | {"map": ["prompt"], "max_items": 9}
    spec = workflow({"each": each}, {"out": ("each", "text")}, {"words": "list[text]"})
    long, short = ["a" * 50, "b"], ["a"]
    told = [
        sum(alone(Task.CHAT, TALKER, messages=[{"role": "user", "content": word}]).prompt_tokens for word in words)
        for words in (short, [long[0], long[0]])
    ]
    assert [bound(spec, {"words": words}).quantities.prompt_tokens for words in (short, long)] == told
    both = {"each": each, "next": chat(prompt=ref("each", "text"), max_tokens=2) | {"map": ["prompt"], "max_items": 9}}
    further = workflow(both, {"out": ("next", "text")}, {"words": "list[text]"})
    assert [call.times for call in calls(further, {"words": long})] == [1, 1, 9]


def test_every_try_of_a_node_counts_for_every_item_of_the_workflow_around_it() -> None:
    ask = chat(prompt=of("t")) | {"policy": {"retries": 2}}
    inner = workflow({"ask": ask}, {"out": ("ask", "text")}, {"t": "text"})
    node = {"type": "workflow:inner@1", "inputs": {"t": ref("list", "texts")}, "map": ["t"], "max_items": 5}
    made = {"type": f"model:{TALKER}", "task": "chat", "inputs": {"prompt": "x"}}
    outer = workflow({"list": made, "sub": node}, {"out": ("sub", "out")})
    found = {call.label: call for call in calls(outer, inner=inner)}
    assert (found["sub/ask"].times, found["sub/ask"].num_items) == (15, 5)


def test_what_nothing_asks_for_and_what_is_switched_off_costs_nothing() -> None:
    nodes = {"ask": chat(prompt="x"), "idle": chat(prompt="y"), "off": chat(prompt="z") | {"when": of("flag")}}
    spec = workflow(nodes, {"a": ("ask", "text"), "b": ("off", "text")}, {"flag": "boolean"})
    assert [call.label for call in calls(spec, {"flag": False})] == ["ask"]
    assert [call.label for call in calls(spec, {"flag": True})] == ["ask", "off"]


def test_a_seed_is_drawn_where_none_is_given() -> None:
    nodes = {
        "open": paint(),
        "fixed": paint(seed=3),
        "asked": paint(seed=of("seed")),
        "sub": {"type": "workflow:inner@1"},
    }
    inner = workflow(
        {"gen": paint(seed=of("s"))}, {"out": ("gen", "image")}, {"s": {"type": "number", "optional": True}}
    )
    outputs = {name: (name, "image") for name in ("open", "fixed", "asked")} | {"sub": ("sub", "out")}
    spec = workflow(nodes, outputs, {"seed": {"type": "number", "optional": True}})
    for seed, wanting in ((None, ["open", "asked", "sub/gen"]), (5, ["open", "sub/gen"])):
        assert [call.label for call in calls(spec, {"seed": seed}, inner=inner) if call.wants_seed] == wanting


@pytest.mark.parametrize(
    ("words", "others"),
    [(["a"] * 4, ["b"] * 4), (["a"], ["b", "c"])],
    ids=["too long", "different"],
)
def test_lists_that_cannot_be_run_over_are_refused(words: list[str], others: list[str]) -> None:
    each = chat(prompt=of("words"), system=of("others")) | {"map": ["prompt", "system"], "max_items": 3}
    spec = workflow({"each": each}, {"out": ("each", "text")}, {"words": "list[text]", "others": "list[text]"})
    with pytest.raises(InvalidRequest) as refused:
        calls(spec, {"words": words, "others": others})
    assert refused.value.param in ("input.words", "input.others")


def test_a_model_that_an_input_names_is_looked_up() -> None:
    node = {"type": "task:chat", "inputs": {"model": of("which"), "prompt": "x"}}
    spec = workflow({"ask": node}, {"out": ("ask", "text")}, {"which": "model"})
    (call,) = calls(spec, {"which": TALKER})
    assert (call.model, call.task) == (TALKER, Task.CHAT)
    with pytest.raises(NotFound) as unknown:
        calls(spec, {"which": "nobody"})
    assert unknown.value.param == "input.which"


def test_no_character_has_a_longer_form_than_is_reckoned_with() -> None:
    longest = max(text_tokens(chr(code)) for code in range(0x30000) if not 0xD800 <= code <= 0xDFFF)
    assert longest == MOST_BYTES_PER_CHARACTER


TEXTS = st.text(max_size=30)
ENDLESS = "x" * 600
"""More than the context of any of these models that has one."""
_PROMPTS = st.none() | TEXTS
_SMALL = st.integers(1, 3)


@st.composite
def stories(draw: st.DrawFn) -> tuple[WorkflowSpec, dict[str, Any], dict[str, PublishedWorkflow]]:
    """Chats and pictures that feed one another, over lists, with retries, and inside another workflow."""
    nodes: dict[str, Any] = {}
    texts: list[Any] = [of("what")]
    images: list[Any] = []
    lists: list[Any] = [of("words")]
    outputs = {}
    for index in range(draw(st.integers(1, 6))):
        name = f"n{index}"
        text = draw(TEXTS.filter(bool) | st.sampled_from(texts))
        policy = {"retries": draw(st.integers(0, 2))}
        kind = draw(st.sampled_from(["chat", "paint", "edit", "each", "embed"]))
        if kind == "chat":
            most = draw(st.none() | st.integers(1, 9))
            nodes[name] = chat(prompt=text, n=draw(_SMALL), **({"max_tokens": most} if most else {}))
        elif kind == "each":
            listed = draw(
                st.sampled_from(lists[-1:]) | st.sampled_from(lists) | st.lists(TEXTS, min_size=1, max_size=3)
            )
            nodes[name] = chat(prompt=listed, max_tokens=4) | {"map": ["prompt"], "max_items": 4}
        elif kind == "embed":
            nodes[name] = {"type": f"model:{SEER}", "inputs": {"input": text}}
        else:
            size = {"steps": draw(st.integers(2, 20) | st.just(of("steps"))), "num_images": draw(_SMALL)}
            nodes[name] = paint(prompt=text, **size)
            if kind == "edit" and images:
                nodes[name] |= {"task": "image_to_image"}
                nodes[name]["inputs"] |= {
                    "image": draw(st.sampled_from(images)),
                    "outpaint_left": draw(st.sampled_from([0, 64])),
                }
        nodes[name]["policy"] = policy
        port = {"each": "text", "chat": "text", "embed": "embedding"}.get(kind, "image")
        outputs[name] = (name, port)
        if kind == "chat":
            texts.append(ref(name, "text"))
        elif kind == "each":
            lists.append(ref(name, "text"))
        elif port == "image":
            images.append(ref(name, "image"))
    inputs = {"what": "text", "words": "list[text]", "steps": {"type": "number", "constraints": {"integer": True}}}
    values = {
        "what": draw(TEXTS),
        "words": draw(st.lists(TEXTS, min_size=1, max_size=4)),
        "steps": draw(st.integers(2, 20)),
    }
    spec = workflow(nodes, outputs, inputs)
    if not draw(st.booleans()):
        return spec, values, {}
    singles = [name for name in outputs if nodes[name].get("map") is None]
    return _around(draw, inputs, outputs, singles), values, published(inner=spec)


def _around(draw: st.DrawFn, inputs: Any, outputs: Any, singles: list[str]) -> WorkflowSpec:
    """`inner@1` within another; sometimes run over a list that a node makes."""
    nodes: dict[str, Any] = {"sub": {"type": "workflow:inner@1", "inputs": {name: of(name) for name in inputs}}}
    if singles and draw(st.booleans()):
        outputs = singles
        nodes["make"] = chat(prompt=of("words"), max_tokens=4) | {"map": ["prompt"], "max_items": 4}
        nodes["sub"] |= {"map": ["what"], "max_items": 4}
        nodes["sub"]["inputs"]["what"] = ref("make", "text")
    return workflow(nodes, {name: ("sub", name) for name in outputs}, inputs)


class Execution:
    """Executes a graph as unkindly as its models allow: answers as long as they may be, and every try is billed."""

    def __init__(self, data: st.DataObject, longest: Mapping[str, int]) -> None:
        self._data = data
        self._longest = longest
        self.cost = 0
        self.consumed = Quantities()

    def run(self, graph: Graph, inputs: Mapping[str, Any]) -> dict[str, Any]:
        made: dict[str, dict[str, Any]] = {}
        for node in graph.nodes.values():
            values = {name: self._value(source, inputs, made) for name, source in node.inputs.items()}
            for _ in range(1 + node.policy.retries):
                made[node.name] = self._node(node, values)
        return {name: made[end.node][end.port] for name, end in graph.outputs.items()}

    def _value(self, source: Any, inputs: Mapping[str, Any], made: Mapping[str, Mapping[str, Any]]) -> Any:
        if hasattr(source, "value"):
            return source.value
        return made[source.node][source.port] if hasattr(source, "node") else inputs.get(source.name)

    def _node(self, node: Node, values: dict[str, Any]) -> dict[str, Any]:
        if node.map:
            rows = [
                values | {name: values[name][index] for name in node.map} for index in range(len(values[node.map[0]]))
            ]
            results = [self._once(node, row) for row in rows]
            return {port: [result[port] for result in results] for port in results[0]}
        return self._once(node, values)

    def _once(self, node: Node, values: dict[str, Any]) -> dict[str, Any]:
        if node.graph is not None:
            return self.run(node.graph, values)
        assert node.kind is NodeKind.MODEL
        assert node.model is not None
        assert node.task is not None
        used, outputs = self._call(node.model.name, node.task, values)
        self.consumed += used
        self.cost += cost_of(used, PRICES[node.model.name])
        return outputs

    def _call(self, model: str, task: Task, values: dict[str, Any]) -> tuple[Quantities, dict[str, Any]]:
        spec = cards()[model].document.spec
        if task is Task.EMBEDDING:
            num = min(text_tokens(values["input"]), 256)
            return Quantities(prompt_tokens=num, gpu_ms=0), {"embedding": [0.0]}
        if task is Task.CHAT:
            valid = cards()[model].validate(
                task, {"messages": [{"role": "user", "content": values["prompt"]}]} | _without(values, "prompt")
            )
            most = ceiling(task, valid.model_dump(mode="json", by_alias=True), spec)
            num = min(most.prompt_tokens, self._longest[model])
            text = self._data.draw(st.just(ENDLESS) | TEXTS)
            cached = self._data.draw(st.integers(0, num))
            return Quantities(num, cached, most.completion_tokens), {"text": text}
        inputs = cards()[model].validate(task, values | ({"image": "asset:x"} if "image" in values else {}))
        size = values.get("image")
        most = ceiling(task, inputs.model_dump(mode="json"), spec, source_size=size)
        side = (int(getattr(inputs, "width", 0) or 64), 64)
        made = inputs.result_size(*size) if task is Task.IMAGE_TO_IMAGE else side  # type: ignore[attr-defined]
        return most, {"image": made}


def _without(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != name}


@settings(max_examples=60, deadline=None)
@given(stories(), st.data())
def test_no_execution_costs_or_consumes_more_than_what_is_held(
    story: tuple[WorkflowSpec, dict[str, Any], dict[str, PublishedWorkflow]], data: st.DataObject
) -> None:
    spec, inputs, workflows = story
    graph = compiled(spec, workflows)
    most = bound_of(calls_of(graph, models(), inputs), cards(), {})
    execution = Execution(data, {model: most.prompt_tokens(model) for model in cards()})
    execution.run(graph, inputs)
    assert execution.cost <= most.cost(PRICES)
    assert execution.consumed.within(most.quantities), (execution.consumed, most.quantities)


def _labels(found: RunBound) -> Iterator[str]:
    return (one.call.label for one in found.calls)


def test_the_costs_of_the_nodes_add_up_to_the_costs_of_the_run() -> None:
    inner = workflow({"ask": chat(prompt=of("t"))}, {"out": ("ask", "text")}, {"t": "text"})
    nodes = {"first": chat(prompt="x"), "sub": {"type": "workflow:inner@1", "inputs": {"t": ref("first", "text")}}}
    found = bound(workflow(nodes, {"out": ("sub", "out")}), inner=inner)
    assert list(_labels(found)) == ["first", "sub/ask"]
    assert found.cost(PRICES, "first") + found.cost(PRICES, "sub") == found.cost(PRICES) > 0
    assert found.cost({TALKER: None}) == 0


def test_built_in_models_are_bounded_too() -> None:
    spec = workflow(
        {"gen": {"type": "model:shapes-sd", "inputs": {"prompt": "a red circle"}}}, {"out": ("gen", "image")}
    )
    graph = compile_workflow(spec, known()).graph
    assert graph is not None
    assert [call.model for call in calls_of(graph, known().models, {})] == ["shapes-sd"]
