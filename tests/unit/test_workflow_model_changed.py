"""A model that is replaced between a run's acceptance and its calls costs no more than was held for the run."""

from typing import Any

import pytest
from fakes.gateway import model_document
from fakes.stages import MemoryStage, Workshop, run_of
from fakes.stages import said as said_by
from fakes.workflows import ref, workflow

from serve.catalog.cards import Card
from serve.domain.run import ModelTerms
from serve.domain.steps import Performed
from serve.gateway.workflows.calls import calls_of
from serve.gateway.workflows.ceilings import bound_of
from serve.gateway.workflows.known import facts_of
from serve.workflow.compiling.compiling import compile_workflow
from serve.workflow.facts import Known

TALKER = "talker"
PARSE = {"type": "op:number.parse"}


def card(context: int, revision: str) -> Card:
    document = model_document(TALKER, ["chat"], engine={"kind": "echo", "maxModelLen": context})
    return Card(document, f"sha256:{revision * 64}")


OLD = card(512, "0")


async def performed_with(new: Card, answer: str = "600", **inputs: Any) -> tuple[Performed, MemoryStage]:
    """A run that was accepted with the old card, with what was reckoned; `answer` is what its first node says."""
    nodes = {
        "say": {"type": f"model:{TALKER}", "inputs": {"prompt": "a", "max_tokens": 512}},
        "parse": PARSE | {"inputs": {"text": ref("say", "text")}},
        "ask": {"type": f"model:{TALKER}", "inputs": {"prompt": "b", **inputs}},
    }
    spec = workflow(nodes, {"out": ["ask", "text"], "number": ["parse", "value"]})
    before, now = facts_of(OLD), facts_of(new)
    graph = compile_workflow(spec, Known({TALKER: before})).graph
    assert graph is not None
    bound = bound_of(calls_of(graph, {TALKER: before}, {}), {TALKER: OLD}, {})
    most = bound.most_of_a_call(TALKER).without_prompt().nonzero()
    terms = {TALKER: ModelTerms(digest=before.digest, most=most)}
    stage = MemoryStage(run_of(spec, models=terms), lambda step: said_by(answer))
    return await Workshop(Known({TALKER: now})).performer(spec).perform(stage), stage


async def test_a_call_that_may_consume_more_than_was_reckoned_with_is_refused() -> None:
    performed, stage = await performed_with(card(1024, "1"), max_tokens=ref("parse", "value"))
    assert performed.error is not None
    assert performed.error.code == "model_changed"
    assert performed.error.message.endswith("600 completion_tokens where 512 were reckoned with. Start the run again.")
    assert [call.label for call in stage.calls] == ["say"]


async def test_a_default_that_has_grown_is_refused_too() -> None:
    performed, _ = await performed_with(card(1024, "1"))
    assert performed.error is not None
    assert performed.error.code == "model_changed"


@pytest.mark.parametrize("answer", ["300", "512"])
async def test_a_call_within_what_was_reckoned_with_goes_on(answer: str) -> None:
    performed, _ = await performed_with(card(1024, "1"), answer, max_tokens=ref("parse", "value"))
    assert (performed.error, performed.outputs["out"]) == (None, answer)


async def test_the_same_model_is_reckoned_with_once() -> None:
    performed, _ = await performed_with(OLD, "100")
    assert performed.error is None
