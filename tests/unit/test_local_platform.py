"""What `slipway up` makes of the built-in models on this machine."""

import pytest

from serve.catalog.builtin import builtin_documents
from serve.cli.up import fitted

CHAT, EMBEDDING = builtin_documents(["smollm2-135m-instruct", "minilm-l6-v2"])


def test_without_the_gpu_build_a_model_is_as_it_was_written() -> None:
    assert fitted(CHAT, has_gpu=False) is CHAT


def test_with_the_gpu_build_vllm_takes_a_share_of_a_gpu() -> None:
    assert fitted(CHAT, has_gpu=True).spec.placement.gpus == pytest.approx(0.25)


def test_a_model_that_needs_no_gpu_takes_none() -> None:
    assert fitted(EMBEDDING, has_gpu=True) is EMBEDDING
