"""The echo engine's adapters: read and checked like real ones, and told by the answers that used them."""

import io
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from deployments.engines.echo import EchoEngine
from deployments.engines.engine import AdapterFolder, AppliedAdapter, Produced
from serve.domain.documents import EchoEngine as EchoSpec
from serve.domain.errors import EngineFailed, InvalidRequest
from serve.domain.folds import Answer
from serve.domain.generation import CallContext, Event, ModelCall, Vector
from serve.domain.images import TextToImageInput
from serve.domain.task import Task

CONTEXT = CallContext("r", "t", "p", "k")
ONE = {"prompt": "one two", "max_tokens": 3}


def engine(**spec: Any) -> EchoEngine:
    return EchoEngine(EchoSpec.model_validate({"kind": "echo", **spec}))


def folder(path: Path, name: str = "stripes", data: bytes = b"weights") -> AdapterFolder:
    path.mkdir(parents=True, exist_ok=True)
    (path / "adapter_model.safetensors").write_bytes(data)
    digest = sha256(data).hexdigest()
    return AdapterFolder(f"acme/{name}@sha256:{digest}", path, {"adapter_model.safetensors": digest})


async def applied(made: EchoEngine, stored: AdapterFolder, scale: float = 1.0) -> AppliedAdapter:
    return AppliedAdapter(stored.id, scale, await made.prepare_adapter(stored))


def asked(task: Task = Task.COMPLETION, stream: bool = True, **inputs: Any) -> ModelCall:
    return ModelCall(task, inputs or ONE, CONTEXT, stream=stream)


async def events(made: EchoEngine, call: ModelCall, *adapters: AppliedAdapter) -> list[Event | Produced]:
    return [event for batch in [batch async for batch in made.stream(call, adapters)] for event in batch]


async def text(made: EchoEngine, call: ModelCall, *adapters: AppliedAdapter) -> tuple[str, Answer]:
    answer = Answer()
    async for batch in made.stream(call, adapters):
        answer.add(batch)
    return answer.choices[0].text, answer


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
async def test_an_answer_begins_with_its_adapters_and_is_counted_without_them(tmp_path, stream):
    made = engine()
    first, second = folder(tmp_path / "a"), folder(tmp_path / "b", "outline", b"others")
    adapters = [await applied(made, first, 0.5), await applied(made, second)]
    said, answer = await text(made, asked(stream=stream), *adapters)
    stripes, outline = (stored.id.partition("sha256:")[2][:8] for stored in (first, second))
    assert said == f"[stripes@{stripes} x 0.5, outline@{outline} x 1] one two one"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (2, 3)


async def test_an_answer_that_must_be_json_stays_json(tmp_path):
    made = engine()
    chat = {"messages": [{"role": "user", "content": "x"}], "response_format": {"type": "json_object"}}
    said, _ = await text(made, asked(Task.CHAT, **chat), await applied(made, folder(tmp_path)))
    assert said == "{}"


async def test_vectors_and_pictures_differ_by_version_and_pictures_tell_it(tmp_path):
    made = engine()
    old = await applied(made, folder(tmp_path / "old"))
    new = await applied(made, folder(tmp_path / "new", data=b"newer"))
    picture = TextToImageInput(prompt="a circle", width=64, height=64, steps=1, seed=1, metadata=True)
    painted, vectors = [], []
    for adapters in ([], [old], [new]):
        drawn = await events(made, asked(Task.TEXT_TO_IMAGE, **picture.model_dump(mode="json")), *adapters)
        painted += [event.data for event in drawn if isinstance(event, Produced)]
        found = await events(made, asked(Task.EMBEDDING, input="word"), *adapters)
        vectors += [event.float32 for event in found if isinstance(event, Vector)]
    assert len({Image.open(io.BytesIO(data)).tobytes() for data in painted}) == len(set(vectors)) == 3
    assert (
        Image.open(io.BytesIO(painted[1])).info["parameters"].startswith(f"[stripes@{old.id[-64:][:8]} x 1] a circle")
    )


async def test_a_file_that_was_swapped_is_refused(tmp_path):
    checked = folder(tmp_path)
    (tmp_path / "adapter_model.safetensors").write_bytes(b"swapped")
    with pytest.raises(InvalidRequest, match="other bytes than its digest says") as refused:
        await engine().prepare_adapter(checked)
    assert refused.value.code == "adapter_changed"


async def test_a_file_that_is_gone_is_told(tmp_path):
    checked = folder(tmp_path)
    (tmp_path / "adapter_model.safetensors").unlink()
    with pytest.raises(InvalidRequest, match="cannot be read"):
        await engine().prepare_adapter(checked)


async def test_preparing_takes_its_time_and_is_counted(tmp_path):
    made, stored = engine(adapterLoadMs=30), folder(tmp_path)
    began = time.monotonic()
    prepared = await made.prepare_adapter(stored)
    assert time.monotonic() - began >= 0.03
    assert prepared.num_bytes == len(b"weights")
    assert made.counters()["adapters_prepared_total"] == 1


async def test_a_call_whose_adapter_is_closed_under_it_fails(tmp_path):
    made = engine(tokenMs=1)
    adapter = await applied(made, folder(tmp_path))
    stream = made.stream(asked(prompt="a b c", max_tokens=50), [adapter])
    await anext(stream)
    adapter.prepared.close()
    with pytest.raises(EngineFailed, match="after it was closed"):
        async for _ in stream:
            pass
