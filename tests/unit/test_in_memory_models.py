"""InMemoryModels: engines of this process behind the port."""

import pytest
from fakes.adapter_shelf import EngineAdapters, Shelf
from fakes.engines import ScriptedEngine

from deployments.engines.echo import EchoEngine
from serve.catalog.adapters.files import AdapterFiles
from serve.catalog.weight_store import WeightStore
from serve.domain.documents import EchoEngine as EchoSpec
from serve.domain.errors import NotFound, Unprocessable
from serve.domain.folds import Answer
from serve.domain.generation import AdapterUse, CallContext, Completed, ModelCall, TextDelta
from serve.domain.names import KeyId, ProjectName, RequestId, TenantName
from serve.domain.serving import ModelState
from serve.domain.task import Task
from serve.domain.usage import Quantities
from serve.serving.in_memory import InMemoryModels

CALL = ModelCall(Task.CHAT, {}, CallContext(RequestId("r"), TenantName("t"), ProjectName("p"), KeyId("k")))


async def test_batches_of_the_named_engine_come_through():
    engine = ScriptedEngine([TextDelta("a")], [Completed(Quantities())])
    batches = [batch async for batch in InMemoryModels({"m": engine}).call("m", CALL)]
    assert batches == [[TextDelta("a")], [Completed(Quantities())]]
    assert engine.calls == [CALL]


async def test_closing_the_call_closes_the_engines_stream():
    engine = ScriptedEngine([TextDelta("a")], [TextDelta("b")])
    stream = InMemoryModels({"m": engine}).call("m", CALL)
    await anext(stream)
    await stream.aclose()
    assert engine.num_closed == 1


async def test_a_calls_adapters_are_held_while_its_engine_answers(tmp_path):
    shelf = Shelf(tmp_path / "objects")
    adapter = await shelf.add("stripes")
    files = AdapterFiles(WeightStore(tmp_path / "adapters", 2**30), shelf, shelf.objects)
    models = InMemoryModels({"m": EchoEngine(EchoSpec(kind="echo"))}, adapters=EngineAdapters(lambda: files))
    inputs = {"messages": [{"role": "user", "content": "hi"}]}
    call = ModelCall(Task.CHAT, inputs, CALL.context, (AdapterUse(adapter, 0.5),))
    answer = Answer()
    async for batch in models.call("m", call):
        answer.add(batch)
    assert answer.choices[0].text == f"[stripes@{adapter[-64:-56]} x 0.5] hi"
    with pytest.raises(Unprocessable, match="take no adapters"):
        await anext(InMemoryModels({"m": ScriptedEngine()}).call("m", call))


async def test_an_unknown_model_is_not_found():
    with pytest.raises(NotFound) as raised:
        await anext(InMemoryModels({}).call("nope", CALL))
    assert (raised.value.code, raised.value.param) == ("model_not_found", "model")


async def test_every_engine_is_one_ready_replica():
    statuses = await InMemoryModels({"m": ScriptedEngine()}).statuses()
    assert (statuses["m"].state, statuses["m"].ready_replicas) == (ModelState.READY, 1)
