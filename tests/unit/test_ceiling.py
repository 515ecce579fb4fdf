"""The most that a call can consume: nothing that the echo engine counts ever lies above it."""

import asyncio
import json
import unicodedata
from typing import Any

import pytest
from fakes.gateway import model_document
from fakes.images import picture
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.engines.echo import EchoEngine
from serve.domain.chat import MAX_TOKENS, ChatInput, CompletionInput, EmbeddingInput
from serve.domain.documents import EchoEngine as EchoSpec
from serve.domain.documents import ModelSpec
from serve.domain.errors import InvalidRequest
from serve.domain.generation import CallContext, Completed, ModelCall
from serve.domain.images import ImageToImageInput, Sampler, TextToImageInput
from serve.domain.task import Task
from serve.domain.usage import Quantities
from serve.metering.prices.ceiling import MAX_CALL_SECONDS, MAX_PIXELS, ceiling, text_tokens

TEXT = model_document("m", ["chat", "completion", "embedding"]).spec
IMAGES = ("text_to_image", "image_to_image")
PAINTER = model_document("p", IMAGES, family="text_to_image").spec
READS = {Task.CHAT: ChatInput, Task.COMPLETION: CompletionInput, Task.EMBEDDING: EmbeddingInput}
SYNTAX = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": SYNTAX}}


def whole(task: Task, inputs: dict[str, Any]) -> dict[str, Any]:
    """`inputs` as the gateway passes them on: valid, with every default."""
    return READS[task].model_validate(inputs).model_dump(mode="json", by_alias=True)


async def consumed(task: Task, inputs: dict[str, Any]) -> Quantities:
    engine = EchoEngine(EchoSpec(kind="echo"))
    call = ModelCall(task, inputs, CallContext("r", "t", "p", "k"), stream=False)
    events = [event async for batch in engine.stream(call) for event in batch]
    assert isinstance(events[-1], Completed)
    return events[-1].usage


def check_text(task: Task, asked: dict[str, Any]) -> None:
    inputs = whole(task, asked)
    try:
        usage = asyncio.run(consumed(task, inputs))
    except InvalidRequest:
        return  # it does not fit the context: refused, and nothing consumed
    assert usage.within(ceiling(task, inputs, TEXT)), (usage, ceiling(task, inputs, TEXT))


words = st.text(max_size=60) | st.lists(st.sampled_from(["a", "bb", "漢字", "é", "\n"]), max_size=40).map(" ".join)
parts = st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": words}), min_size=1, max_size=3)
messages = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant"]), "content": words | parts})
    | st.fixed_dictionaries({"role": st.just("tool"), "content": words, "tool_call_id": st.just("call_1")}),
    min_size=1,
    max_size=5,
)
max_tokens = st.none() | st.integers(1, 300)


@settings(max_examples=60, deadline=None)
@given(messages, max_tokens, st.integers(1, 3), st.sampled_from(["", "tools", "forced", "json"]))
def test_a_chat_consumes_no_more_than_its_ceiling(said: list[Any], most: int | None, n: int, kind: str) -> None:
    asked: dict[str, Any] = {"messages": said, "max_tokens": most, "n": n}
    asked |= {"tools": [TOOL]} if kind in ("tools", "forced") else {}
    asked |= {"tool_choice": "required"} if kind == "forced" else {}
    schema = {"type": "json_schema", "json_schema": {"name": "a", "schema": SYNTAX}}
    asked |= {"response_format": schema} if kind == "json" else {}
    check_text(Task.CHAT, asked)


prompts = words.filter(str.strip) | st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=40)


@settings(max_examples=60, deadline=None)
@given(prompts | st.lists(words.filter(str.strip), min_size=1, max_size=4), max_tokens, st.integers(1, 3))
def test_a_completion_consumes_no_more_than_its_ceiling(prompt: Any, most: int | None, n: int) -> None:
    check_text(Task.COMPLETION, {"prompt": prompt, "max_tokens": most, "n": n, "echo": n == 2})


@settings(max_examples=40, deadline=None)
@given(prompts | st.lists(words.filter(str.strip), min_size=1, max_size=4))
def test_an_embedding_consumes_no_more_than_its_ceiling(text: Any) -> None:
    check_text(Task.EMBEDDING, {"input": text})


@pytest.mark.parametrize("source", [(64, 64), (70, 90), None])
@pytest.mark.parametrize(
    "asked",
    [
        pytest.param({}, id="plain"),
        pytest.param({"num_images": 3, "steps": 7, "guidance_scale": 1}, id="several"),
        pytest.param({"negative_prompt": "no é 漢字", "previews": 4, "sampler": "heun"}, id="previews"),
        pytest.param({"strength": 0.33, "steps": 10}, id="strength"),
        pytest.param({"outpaint_left": 24, "outpaint_top": 3}, id="outpainted"),
        pytest.param({"mask": picture(64, 64, mode="L", color=255)}, id="mask"),
    ],
)
def test_a_picture_consumes_no_more_than_its_ceiling(asked: dict[str, Any], source: tuple[int, int] | None) -> None:
    if source is None:
        if asked.keys() & {"strength", "outpaint_left", "mask"}:
            return
        task, inputs = Task.TEXT_TO_IMAGE, {"prompt": "a red cat", "width": 64, "height": 72, "steps": 4, **asked}
        inputs = TextToImageInput.model_validate(inputs).model_dump(mode="json")
    else:
        size = (64, 64) if "mask" in asked else source
        task, plain = Task.IMAGE_TO_IMAGE, {name: value for name, value in asked.items() if name != "mask"}
        inputs = ImageToImageInput.model_validate({"prompt": "x", "steps": 4, "image": "asset:1", **plain}).model_dump(
            mode="json"
        )
        inputs |= {"image": picture(*size)} | ({"mask": asked["mask"]} if "mask" in asked else {})
        source = size
    usage = asyncio.run(consumed(task, inputs))
    for known in (source, None):
        bound = ceiling(task, inputs, PAINTER, source_size=known)
        assert usage.within(bound)
        assert usage.pixels * bound.images <= bound.pixels * usage.images, "no image is larger than the bound's"


def of_text(**inputs: Any) -> Quantities:
    task = Task.CHAT if "messages" in inputs else Task.COMPLETION
    return ceiling(task, whole(task, inputs), TEXT)


def spec_with(engine: dict[str, Any], **spec: Any) -> ModelSpec:
    return model_document("m", ["chat"], engine=engine, weights={"uri": "builtin://x"}, **spec).spec


def test_without_max_tokens_the_whole_context_may_be_answered() -> None:
    chat = {"messages": [{"role": "user", "content": "hi"}]}
    assert of_text(**chat).completion_tokens == 4096
    assert of_text(**chat, n=3).completion_tokens == 3 * 4096
    assert of_text(**chat, max_tokens=5, n=3).completion_tokens == 15
    unknown = ceiling(Task.CHAT, whole(Task.CHAT, chat), spec_with({"kind": "vllm"}))
    assert unknown.completion_tokens == MAX_TOKENS


def test_every_prompt_of_several_is_answered() -> None:
    assert of_text(prompt=["a", "b", "c"], max_tokens=10, n=2).completion_tokens == 60


def test_token_ids_are_counted_and_text_by_its_bytes() -> None:
    assert of_text(prompt=[1, 2, 3]).prompt_tokens == 3
    assert of_text(prompt=[[1, 2], [3]]).prompt_tokens == 3
    assert of_text(prompt="x" * 100).prompt_tokens in range(100, 120)
    assert of_text(prompt="漢" * 100).prompt_tokens >= 300


def test_no_prompt_is_longer_than_the_context() -> None:
    bound = of_text(messages=[{"role": "user", "content": "x" * 50_000}])
    assert (bound.prompt_tokens, bound.cached_prompt_tokens) == (4096, 4096)


@pytest.mark.parametrize("text", ["İ" * 9, "\ufdfa", "\u0958", "\uff21", "é", "\ud800", "한글", "\U0001d160"])
def test_what_normalizing_makes_longer_counts_as_that(text: str) -> None:
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        for read in (text, text.lower()):
            assert len(unicodedata.normalize(form, read).encode(errors="surrogatepass")) <= text_tokens(text)


def test_tools_calls_and_answers_count_as_they_are_printed() -> None:
    plain = [{"role": "user", "content": "hi"}]
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"days":1e15}'}}
    talk = [
        *plain,
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": '"\n'},
    ]
    printed = json.dumps([TOOL], indent=4)
    assert of_text(messages=plain, tools=[TOOL]).prompt_tokens >= of_text(messages=plain).prompt_tokens + len(printed)
    assert of_text(messages=talk).prompt_tokens > of_text(messages=plain).prompt_tokens + len("1000000000000000.0")


@pytest.mark.parametrize(("sampler", "steps"), [(Sampler.EULER, 20), (Sampler.HEUN, 40), (Sampler.PNDM, 32)])
def test_samplers_that_run_the_model_twice_or_warm_up_are_known(sampler: Sampler, steps: int) -> None:
    inputs = TextToImageInput(prompt="x", sampler=sampler, steps=20, width=64, height=64, num_images=2)
    bound = ceiling(Task.TEXT_TO_IMAGE, inputs.model_dump(mode="json"), PAINTER)
    assert (bound.steps, bound.pixels, bound.pixel_steps) == (2 * steps, 2 * 64 * 64, 2 * 64 * 64 * steps)


def test_a_picture_of_unknown_size_is_as_large_as_the_model_makes_them() -> None:
    inputs = ImageToImageInput(prompt="x", image="asset:1").model_dump(mode="json")
    engine = {"kind": "diffusion", "maxPixels": 65_536}
    diffusion = model_document("d", IMAGES, family="text_to_image", engine=engine, weights={"uri": "builtin://x"}).spec
    assert ceiling(Task.IMAGE_TO_IMAGE, inputs, diffusion).pixels == 65_536
    assert ceiling(Task.IMAGE_TO_IMAGE, inputs, PAINTER).pixels == MAX_PIXELS
    assert ceiling(Task.IMAGE_TO_IMAGE, inputs, PAINTER, source_size=(65, 64)).pixels == 72 * 64


def test_gpu_time_is_bounded_by_the_deadline_or_an_hour() -> None:
    chat = whole(Task.CHAT, {"messages": [{"role": "user", "content": "hi"}]})
    two_gpus = spec_with({"kind": "vllm"}, placement={"gpus": 2})
    assert ceiling(Task.CHAT, chat, two_gpus, seconds=1.5).gpu_ms == 3001
    assert ceiling(Task.CHAT, chat, two_gpus).gpu_ms == 2 * MAX_CALL_SECONDS * 1000 + 1
    assert ceiling(Task.CHAT, chat, two_gpus, seconds=-3).gpu_ms == 1
    assert ceiling(Task.CHAT, chat, TEXT).gpu_ms == 0
