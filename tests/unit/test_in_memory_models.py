"""InMemoryModels: engines of this process behind the port."""

import pytest
from fakes.engines import ScriptedEngine

from serve.domain.errors import NotFound
from serve.domain.generation import CallContext, Completed, ModelCall, TextDelta
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


async def test_an_unknown_model_is_not_found():
    with pytest.raises(NotFound) as raised:
        await anext(InMemoryModels({}).call("nope", CALL))
    assert (raised.value.code, raised.value.param) == ("model_not_found", "model")


async def test_every_engine_is_one_ready_replica():
    statuses = await InMemoryModels({"m": ScriptedEngine()}).statuses()
    assert (statuses["m"].state, statuses["m"].ready_replicas) == (ModelState.READY, 1)
