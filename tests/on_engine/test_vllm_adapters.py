"""Adapters in vLLM: every row of a batch has its own mixture, and answers as the model merged with it would."""

import asyncio
import copy
import json
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import torch
from fakes.adapters import dora, lora, random_weights, write_peft
from fakes.language_models import write_language_model

from deployments.engines.engine import AdapterFolder, AppliedAdapter
from deployments.engines.vllm import VllmEngine
from serve.catalog.layouts import layout_of
from serve.domain.documents import AdapterPolicy
from serve.domain.documents import VllmEngine as VllmSpec
from serve.domain.errors import InvalidRequest, Unprocessable
from serve.domain.folds import Answer
from serve.domain.generation import CallContext, ModelCall
from serve.domain.task import Task

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    # torch, PEFT and vLLM warn of their own deprecations while they are imported.
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning"),
]

PROMPT = "Once upon a time"
NUM_TOKENS = 12
ENDINGS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
Mixture = Mapping[str, float]
"""Scales by the adapter's short name."""
MIXTURES: list[Mixture] = [
    {},
    {"plain": 1.0},
    {"strong": 1.0},
    {"plain": 0.25},
    {"plain": 0.5, "strong": -0.5},
    {"stabilised": 1.0, "plain": 0.75, "attention": 1.5},
    {"attention": 1.0},
    {"strong": 0.0},
]


@dataclass(frozen=True)
class Bench:
    """One engine, its model in transformers, and adapters ready for it."""

    engine: VllmEngine
    network: Any
    folders: Mapping[str, AdapterFolder]
    prepared: Mapping[str, Any]

    def applied(self, mixture: Mixture) -> list[AppliedAdapter]:
        return [AppliedAdapter(self.folders[n].id, scale, self.prepared[n]) for n, scale in mixture.items()]

    async def answer(self, mixture: Mixture, **inputs: Any) -> Answer:
        return await answer_of(self.engine, call(**inputs), self.applied(mixture))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    pytest.importorskip("vllm", reason="vLLM is not installed", exc_type=ImportError)
    folder = tmp_path_factory.mktemp("tiny-llama")
    return folder, write_language_model(folder)


@pytest.fixture(scope="module")
def folders(model: tuple[Path, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, AdapterFolder]:
    """Adapters of several ranks, kinds of scale and sets of modules, as PEFT saves them."""
    root = tmp_path_factory.mktemp("adapters")
    shapes = {name: shape for name, shape in layout_of(model[0]).items() if name.endswith(ENDINGS)}
    some = {name: shape for name, shape in shapes.items() if name.endswith(("q_proj", "v_proj"))}
    return {
        "plain": write_peft(root / "plain", random_weights(shapes, lora(4, alpha=2.0), seed=1)),
        "strong": write_peft(root / "strong", random_weights(shapes, lora(8, alpha=8.0), seed=2)),
        "stabilised": write_peft(root / "stabilised", random_weights(shapes, lora(4), seed=3), use_rslora=True),
        "attention": write_peft(root / "attention", random_weights(some, lora(2, alpha=3.0), seed=4)),
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench(
    model: tuple[Path, Any], folders: dict[str, AdapterFolder], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Bench]:
    os.environ["VLLM_CACHE_ROOT"] = str(tmp_path_factory.mktemp("vllm-cache"))
    spec = VllmSpec(kind="vllm", dtype="float32", max_concurrency=8, cpu_kv_cache_gib=0.05)
    policy = AdapterPolicy(enabled=True, max_rank=16, max_resident=4, max_host=6)
    engine = VllmEngine(spec, model[0], "tiny", 0, policy)
    await engine.start()
    prepared = {name: await engine.prepare_adapter(folder) for name, folder in folders.items()}
    yield Bench(engine, model[1], folders, prepared)
    await engine.close()


def call(prompt: str = PROMPT, tenant: str = "acme", stream: bool = True, **inputs: Any) -> ModelCall:
    asked = {"prompt": prompt, "temperature": 0.0, "max_tokens": NUM_TOKENS, **inputs}
    return ModelCall(Task.COMPLETION, asked, CallContext("r", tenant, "p", "k"), stream=stream)


async def answer_of(engine: VllmEngine, asked: ModelCall, adapters: list[AppliedAdapter]) -> Answer:
    answer = Answer()
    async for batch in engine.stream(asked, adapters):
        answer.add(batch)
    return answer


def expected(bench: Bench, mixture: Mixture) -> str:
    """What transformers says with PEFT's own difference of each adapter added to the weights."""
    network = copy.deepcopy(bench.network)
    for name, scale in mixture.items():
        for module, delta in peft_deltas(bench, name).items():
            network.get_submodule(module).weight.data += scale * delta
    tokenizer = bench.engine._llm.get_tokenizer()
    ids = torch.tensor([tokenizer.encode(PROMPT)])
    with torch.inference_mode():
        said = network.generate(ids, max_new_tokens=NUM_TOKENS, do_sample=False, eos_token_id=None, pad_token_id=0)
    return str(tokenizer.decode(said[0, ids.shape[1] :]))


def peft_deltas(bench: Bench, name: str) -> dict[str, torch.Tensor]:
    from peft import PeftModel

    loaded = PeftModel.from_pretrained(copy.deepcopy(bench.network), bench.folders[name].path)
    return {
        path.removeprefix("base_model.model."): layer.get_delta_weight("default")
        for path, layer in loaded.named_modules()
        if hasattr(layer, "get_delta_weight")
    }


async def test_a_batch_of_mixtures_says_what_each_says_alone_in_transformers(bench):
    """More mixtures than slots, and rows without any between them."""
    answers = await asyncio.gather(*(bench.answer(mixture) for mixture in MIXTURES))
    said = [answer.choices[0].text for answer in answers]
    assert said == [expected(bench, mixture) for mixture in MIXTURES]
    assert len(set(said)) == len(MIXTURES) - 1  # nothing, and an adapter of scale 0, are the same


async def test_rows_that_join_and_leave_change_nothing(bench):
    async def late(position: int, mixture: Mixture) -> str:
        await asyncio.sleep(0.03 * position)
        return (await bench.answer(mixture, max_tokens=4 + 3 * position)).choices[0].text

    said = await asyncio.gather(*(late(i, mixture) for i, mixture in enumerate(MIXTURES)))
    for position, (text, mixture) in enumerate(zip(said, MIXTURES, strict=True)):
        alone = (await bench.answer(mixture, max_tokens=4 + 3 * position)).choices[0].text
        assert text == alone


async def test_a_mixture_is_the_same_in_any_order_and_loaded_once(bench):
    before = bench.engine.counters()
    orders: list[Mixture] = [{"plain": 0.3, "strong": 0.6}, {"strong": 0.6, "plain": 0.3}] * 2
    answers = await asyncio.gather(*(bench.answer(mixture) for mixture in orders))
    assert len({answer.choices[0].text for answer in answers}) == 1
    after = bench.engine.counters()
    assert after["mixture_loads_total"] - before["mixture_loads_total"] == 1
    assert after["mixture_hits_total"] - before["mixture_hits_total"] == 3


async def test_what_is_in_use_stays_while_others_are_evicted(bench):
    held: Mixture = {"plain": 0.9}
    whole = (await bench.answer(held, max_tokens=300)).choices[0].text
    evicted = bench.engine.counters()["mixtures_evicted_total"]
    stream, said = bench.engine.stream(call(max_tokens=300), bench.applied(held)), Answer()
    said.add(await anext(stream))
    for tenth in range(1, 11):
        await bench.answer({"strong": tenth / 10}, max_tokens=1)
    async for batch in stream:
        said.add(batch)
    assert said.choices[0].text == whole
    counters = bench.engine.counters()
    assert counters["mixtures_evicted_total"] - evicted >= 4
    assert counters["mixtures_loaded"] <= 6


async def test_a_call_that_is_closed_while_it_loads_leaves_the_mixture_to_the_next(bench):
    mixture: Mixture = {"attention": 0.77}
    first = asyncio.create_task(bench.answer(mixture))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert (await bench.answer(mixture)).choices[0].text == expected(bench, mixture)


@pytest.mark.parametrize("others", [{"tenant": "other"}, {"id": "acme/plain@sha256:" + "0" * 64}], ids=str)
async def test_neither_tenants_nor_versions_share_cached_blocks(bench, others):
    """An adapter of the same name in another tenant, and the next version of one, are other adapters."""
    prompt = "The quick brown fox jumps over the lazy dog. " * 8

    async def num_cached(tenant: str, name: str, adapter_id: str) -> int:
        applied = AppliedAdapter(adapter_id, 1.0, bench.prepared[name])
        answer = await answer_of(bench.engine, call(prompt, tenant, max_tokens=1), [applied])
        assert answer.usage is not None
        return answer.usage.cached_prompt_tokens

    tenant = others.get("tenant", "acme")
    first = f"acme/plain@sha256:{'1' if tenant == 'other' else '2'}{'f' * 63}"
    second = others.get("id", first.replace("acme/", "other/"))
    assert await num_cached("acme", "plain", first) == 0
    assert await num_cached("acme", "plain", first) > 0
    assert await num_cached(tenant, "strong", second) == 0
    # A shared adapter is one version for both; what was said with it stays each tenant's own.
    assert await num_cached("third", "plain", first) == 0


async def test_streams_choices_and_log_probabilities_work_with_adapters(bench):
    mixture: Mixture = {"plain": 1.0, "attention": 0.5}
    text = expected(bench, mixture)
    unary = await bench.answer(mixture, stream=False, n=2, logprobs=1)
    assert [unary.choices[i].text for i in (0, 1)] == [text, text]
    assert "".join(token.token for token in unary.choices[0].logprobs) == text
    base = await bench.answer({}, logprobs=1)
    assert unary.choices[0].logprobs[0].logprob != base.choices[0].logprobs[0].logprob


async def test_an_answer_to_a_schema_is_of_that_schema_with_an_adapter(bench):
    schema = {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]}
    asked = {
        "messages": [{"role": "user", "content": "yes?"}],
        "temperature": 0.0,
        "max_tokens": 30,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "x", "schema": {**schema, "additionalProperties": False}},
        },
    }
    chat = ModelCall(Task.CHAT, asked, call().context)
    answer = await answer_of(bench.engine, chat, bench.applied({"strong": 1.0}))
    assert isinstance(json.loads(answer.choices[0].text)["a"], bool)


async def test_ranks_add_up_to_the_limit_and_no_further(bench):
    await bench.answer({"strong": 1.0, "plain": 1.0, "stabilised": 1.0})
    with pytest.raises(Unprocessable, match="rank 18; this model takes up to 16") as refused:
        await bench.answer({"strong": 1.0, "plain": 1.0, "stabilised": 1.0, "attention": 1.0})
    assert refused.value.code == "adapter_rank"


@pytest.mark.parametrize(
    ("shape", "maker", "code", "why"),
    [
        pytest.param((128, 128), lora(17), "adapter_rank", "rank 17; this model takes up to 16", id="rank"),
        pytest.param((64, 64), lora(4), "wrong_base", "reads 64 numbers .* reads 128", id="another base"),
        pytest.param((128, 128), dora(4), "adapter_kind_not_supported", "q_proj by dora", id="DoRA"),
    ],
)
async def test_what_the_engine_cannot_apply_is_refused_when_it_is_read(bench, tmp_path, shape, maker, code, why):
    weights = random_weights({"language_model.model.layers.0.self_attn.q_proj": shape}, maker)
    config = {"use_dora": True} if "magnitude" in next(iter(weights.values())) else {}
    with pytest.raises(Unprocessable, match=why) as refused:
        await bench.engine.prepare_adapter(write_peft(tmp_path / "bad", weights, **config))
    assert refused.value.code == code


async def test_a_file_that_was_swapped_after_its_digest_was_checked_is_refused(bench, tmp_path):
    shapes = {"language_model.model.layers.0.self_attn.q_proj": (128, 128)}
    checked = write_peft(tmp_path / "one", random_weights(shapes, lora(2), seed=1))
    write_peft(tmp_path / "one", random_weights(shapes, lora(2), seed=2))
    with pytest.raises(InvalidRequest, match="other bytes") as refused:
        await bench.engine.prepare_adapter(checked)
    assert refused.value.code == "adapter_changed"


async def test_directories_are_private_and_go_with_their_mixtures(bench):
    await bench.answer({"plain": 0.123}, max_tokens=1)
    root = bench.engine._mixtures._root
    assert root.stat().st_mode & 0o077 == 0
    assert len(list(root.iterdir())) == bench.engine.counters()["mixtures_loaded"]
