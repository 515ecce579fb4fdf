"""Mixtures of a language model's adapters: what they are called, and what is written of them."""

import json
import math
from pathlib import Path

import pytest
import torch
from fakes.adapters import lora, random_weights, write_peft
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from deployments.engines.vllm_adapter_files import (
    Part,
    check_mixture,
    effective,
    mixture_key,
    read_language_adapter,
    write_mixture,
)
from serve.domain.errors import InvalidRequest, Unprocessable

Q, V = "model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.v_proj"
SHAPES = {f"language_model.{Q}": (6, 8), f"language_model.{V}": (4, 8)}
IDS = [f"acme/one@sha256:{'0' * 64}", f"acme/one@sha256:{'1' * 64}", f"other/one@sha256:{'0' * 64}"]
uses = st.lists(st.tuples(st.sampled_from(IDS), st.floats(-10, 10)), max_size=5)


@given(uses, st.randoms())
def test_the_key_does_not_depend_on_the_order(given_uses, random):
    shuffled = list(given_uses)
    random.shuffle(shuffled)
    assert mixture_key(shuffled) == mixture_key(given_uses)


@given(uses, uses)
def test_equal_keys_mean_equal_scales_of_the_same_versions(left, right):
    assert (mixture_key(left) == mixture_key(right)) == (effective(left) == effective(right))


@given(uses)
def test_what_adds_nothing_is_not_in_the_key(given_uses):
    kept = [(adapter_id, scale) for adapter_id, scale in given_uses if scale != 0]
    assert mixture_key(given_uses) == mixture_key(kept)
    assert mixture_key([(IDS[0], 0.0), (IDS[1], -0.0)]) == ""


@pytest.mark.parametrize(
    ("left", "right"),
    [
        pytest.param((IDS[0], 1.0), (IDS[1], 1.0), id="versions"),
        pytest.param((IDS[0], 1.0), (IDS[2], 1.0), id="tenants"),
        pytest.param((IDS[0], 0.5), (IDS[0], math.nextafter(0.5, 1)), id="scales, to the last bit"),
    ],
)
def test_different_mixtures_have_different_keys(left, right):
    assert mixture_key([left]) != mixture_key([right])


def part(folder: Path, seed: int, scale: float, rank: int = 2, shapes: dict = SHAPES, **config: object) -> Part:
    stored = write_peft(folder, random_weights(shapes, lora(rank, alpha=3.0), seed=seed), **config)
    adapter = read_language_adapter(stored, SHAPES, max_rank=8)
    return Part(stored.id, scale, adapter.modules)


def delta(folder: Path, module: str) -> torch.Tensor:
    """What the PEFT directory in `folder` adds to a module."""
    tensors, config = (
        load_file(folder / "adapter_model.safetensors"),
        json.loads((folder / "adapter_config.json").read_text()),
    )
    up, down = (tensors[f"base_model.model.{module}.lora_{side}.weight"] for side in "BA")
    return up @ down * config["lora_alpha"] / config["r"]


def test_a_mixture_adds_the_weighted_sum_of_its_adapters(tmp_path):
    only_q = {f"language_model.{Q}": (6, 8)}
    parts = [part(tmp_path / "a", 1, 0.5), part(tmp_path / "b", 2, -2.0, rank=3, shapes=only_q)]
    write_mixture(tmp_path / "mixed", parts, torch.float32)
    expected = 0.5 * delta(tmp_path / "a", Q) - 2.0 * delta(tmp_path / "b", Q)
    torch.testing.assert_close(delta(tmp_path / "mixed", Q), expected)
    torch.testing.assert_close(delta(tmp_path / "mixed", V), 0.5 * delta(tmp_path / "a", V))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "mixed"]


def test_a_rank_stabilised_scale_is_by_the_root_of_the_rank(tmp_path):
    plain, stabilised = (part(tmp_path / n, 1, 1.0, rank=4, use_rslora=n == "rs") for n in ("plain", "rs"))
    torch.testing.assert_close(stabilised.modules[Q].up, plain.modules[Q].up * 2)


def test_matrices_are_written_in_the_precision_of_the_model(tmp_path):
    write_mixture(tmp_path / "mixed", [part(tmp_path / "a", 1, 1.0)], torch.bfloat16)
    tensors = load_file(tmp_path / "mixed" / "adapter_model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.bfloat16}


def test_a_mixture_that_overflows_in_the_models_precision_is_refused(tmp_path):
    with pytest.raises(Unprocessable, match="too large for float16 at this scale") as refused:
        write_mixture(tmp_path / "mixed", [part(tmp_path / "a", 1, 1e6)], torch.float16)
    assert refused.value.code == "adapter_not_finite"
    assert not (tmp_path / "mixed").exists()


def test_ranks_count_together_where_adapters_change_the_same_module(tmp_path):
    only_v = {f"language_model.{V}": (4, 8)}
    parts = [part(tmp_path / "a", 1, 1.0, rank=4, shapes={f"language_model.{Q}": (6, 8)})]
    parts += [part(tmp_path / "b", 2, 1.0, rank=5, shapes=only_v)]
    check_mixture(parts, max_rank=5)
    with pytest.raises(Unprocessable, match="together have rank 9; this model takes up to 8"):
        check_mixture([*parts, part(tmp_path / "c", 3, 1.0, rank=4, shapes=only_v)], max_rank=8)


def test_what_is_read_is_counted_and_given_back(tmp_path):
    stored = write_peft(tmp_path / "a", random_weights(SHAPES, lora(2), seed=1))
    adapter = read_language_adapter(stored, SHAPES, max_rank=8)
    assert adapter.num_bytes == 4 * 2 * (8 + 6 + 8 + 4)
    adapter.close()
    assert not adapter.modules


def test_an_adapter_of_a_deeper_model_is_refused_by_its_modules(tmp_path):
    shapes = {"language_model.model.layers.7.self_attn.q_proj": (6, 8)}
    stored = write_peft(tmp_path / "a", random_weights(shapes, lora(2)))
    with pytest.raises(Unprocessable, match=r"layers\.7.* which this model does not have") as refused:
        read_language_adapter(stored, SHAPES, max_rank=8)
    assert refused.value.code == "wrong_base"


def test_a_directory_without_weights_is_refused(tmp_path):
    stored = write_peft(tmp_path / "a", random_weights(SHAPES, lora(2)))
    bare = type(stored)(stored.id, stored.path, {"adapter_config.json": stored.sha256["adapter_config.json"]})
    with pytest.raises(InvalidRequest, match="has no file adapter_model"):
        read_language_adapter(bare, SHAPES, max_rank=8)
