"""Weights and engines that the tests of a folder share: starting vLLM takes longer than most of the tests."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from serve.domain.documents import Weights


def weights_of(model: str) -> Path:
    """The weights of a builtin model: below SLIPWAY_TEST_WEIGHTS if that is set, else through the weight cache."""
    given = os.environ.get("SLIPWAY_TEST_WEIGHTS")
    if given is not None:
        return Path(given) / model
    from serve.catalog.builtin import builtin_documents
    from serve.catalog.weights import open_weight_cache
    from serve.settings import Settings

    (document,) = builtin_documents([model])
    assert isinstance(document.spec.weights, Weights)
    try:
        resolved = open_weight_cache(Settings()).resolve(document.spec.weights)
    except Exception as error:
        pytest.skip(f"the weights of {model} cannot be had here: {error}")
    resolved.close()
    return resolved.path


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """A chat model of 135 million parameters."""
    pytest.importorskip("vllm", reason="vLLM is not installed", exc_type=ImportError)
    return weights_of("smollm2-135m-instruct")


@pytest.fixture(scope="session")
def minilm() -> Path:
    """A sentence encoder of 22 million parameters."""
    return weights_of("minilm-l6-v2")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def vllm_engine(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[object]:
    """SmolLM2 in vLLM, with 2,048 tokens of context; `test_vllm_without_its_core.py`, which is last, ends it."""
    from deployments.engines.vllm import VllmEngine
    from serve.domain.documents import VllmEngine as VllmSpec

    os.environ["VLLM_CACHE_ROOT"] = str(tmp_path_factory.mktemp("vllm-cache"))
    engine = VllmEngine(VllmSpec(kind="vllm", max_model_len=2048), smollm2, "smollm2", 0)
    await engine.start()
    yield engine
    await engine.close()
