"""What documents are told of that are each right, and together are not."""

from typing import Any

import pytest
from fakes.documents import adapter, model, platform

from operators.desired.checks import problems
from operators.desired.objects import OPTIONAL_KINDS
from operators.state import InvalidResource, Live, Problem, Resource, World
from serve.domain.documents import AdapterDocument, ModelDocument
from serve.domain.platform import PlatformDocument

STORES = {"objects": {"endpoint": "https://s3.example.com"}}
POOLS = [
    {"name": "default", "cpu": True, "resources": {"cpu": "4", "memory": "16Gi"}, "sharedMemory": "4Gi"},
    {"name": "h200", "gpusPerNode": 8, "resources": {"cpu": "64", "memory": "512Gi"}, "maxNodes": 2},
]
METRICS = {"metricsSecret": {"name": "slipway-metrics", "key": "token"}}
WHOLE = {"pools": POOLS, "stores": STORES, "observability": METRICS}
PLATFORM = platform(**WHOLE)
VLLM = {"kind": "vllm"}
HUB = {"uri": "hf://org/name"}


def told(
    *documents: ModelDocument | AdapterDocument, of: PlatformDocument | None = PLATFORM, kinds: Any = OPTIONAL_KINDS
) -> tuple[Problem, ...]:
    return problems(
        World(
            "models",
            "default",
            platform=Resource(of, uid="u") if of else None,
            models=tuple(Resource(each, uid="m") for each in documents if isinstance(each, ModelDocument)),
            adapters=tuple(Resource(each, uid="a") for each in documents if isinstance(each, AdapterDocument)),
            live=Live(known_kinds=kinds),
        )
    )


def test_documents_that_agree_are_told_of_nothing() -> None:
    assert told(model(), model("big", engine=VLLM, weights=HUB, placement={"pool": "h200", "gpus": 8})) == ()


@pytest.mark.parametrize(
    ("spec", "reason", "says"),
    [
        pytest.param({"placement": {"pool": "a100"}}, "UnknownPool", "it has default, h200", id="a pool that is not"),
        pytest.param({"placement": {"gpus": 1}}, "GpusOverPool", "default has none", id="a GPU of none"),
        pytest.param({"placement": {"pool": "h200", "gpus": 16}}, "GpusOverPool", "8 on each", id="GPUs of two nodes"),
        pytest.param({"placement": {"cpus": 5}}, "CpusOverPool", "a node of default has 4", id="processors"),
        pytest.param({"placement": {"memory": "13Gi"}}, "MemoryOverPool", "12288Mi of its 16Gi", id="memory"),
        pytest.param(
            {"engine": VLLM, "weights": HUB, "placement": {"pool": "h200"}}, "NoGpuAsked", "a share", id="vLLM on CUDA"
        ),
        pytest.param({"weights": {"uri": "wheel://a==1/b"}}, "WheelsOff", "hf:// or s3://", id="a wheel"),
    ],
)
def test_a_model_that_cannot_run_is_told_why(spec: dict[str, Any], reason: str, says: str) -> None:
    (problem,) = told(model("odd", **spec))
    assert (problem.key.kind, problem.key.name, problem.reason) == ("Model", "odd", reason)
    assert problem.is_fatal
    assert says in problem.message


def test_wheels_that_the_platform_allows_are_no_problem() -> None:
    allowed = platform(**WHOLE, settings={"SLIPWAY_MODELS_WHEELS_ALLOWED": "true"})
    assert told(model(weights={"uri": "wheel://a==1/b"}), of=allowed) == ()


def test_a_bucket_without_credentials_is_told_of_once_for_each_who_reads_it() -> None:
    bucket = {"uri": "s3://models/one"}
    found = told(model(weights=bucket), adapter(weights=bucket), of=platform())
    assert [(each.key.kind, each.reason) for each in found if each.is_fatal] == [
        ("Adapter", "NoCredentials"),
        ("Model", "NoCredentials"),
    ]
    assert told(model(weights=bucket), adapter(weights=bucket)) == ()


def test_files_of_the_image_are_a_warning() -> None:
    (problem,) = told(model(weights={"uri": "file:///models/one"}))
    assert (problem.reason, problem.is_fatal) == ("FilesOfTheImage", False)


@pytest.mark.parametrize(
    ("base", "reason"),
    [
        pytest.param("lost", "UnknownBase", id="a base that is not"),
        pytest.param("plain", "AdaptersOff", id="a base that takes none"),
        pytest.param("open", None, id="a base that takes them"),
        pytest.param(None, None, id="any base"),
    ],
)
def test_an_adapter_is_for_a_base_that_takes_it(base: str | None, reason: str | None) -> None:
    bases = model("plain"), model("open", adapters={"enabled": True})
    found = told(*bases, adapter(**({"base": base} if base else {})))
    assert [each.reason for each in found] == ([reason] if reason else [])


def test_a_model_without_a_platform_asks_for_one() -> None:
    (problem,) = told(model(), of=None)
    assert problem.reason == "NoPlatform"


def test_a_second_platform_is_told_which_one_counts() -> None:
    other = PlatformDocument.model_validate(PLATFORM.model_dump(by_alias=True) | {"metadata": {"name": "second"}})
    first = Resource(PLATFORM, uid="1")
    (problem,) = problems(World("models", "default", platform=first, other_platforms=(Resource(other, uid="2"),)))
    assert (problem.key.name, problem.reason) == ("second", "AnotherPlatform")
    assert "slipway is older" in problem.message


def test_a_document_that_cannot_be_read_says_what_is_wrong() -> None:
    manifest = {"apiVersion": "slipway.dev/v1alpha1", "kind": "Model", "metadata": {"name": "broken"}}
    world = World("models", "default", invalid=(InvalidResource(manifest, "spec: is missing"),))
    (problem,) = problems(world)
    assert (problem.key.name, problem.reason, problem.message) == ("broken", "InvalidDocument", "spec: is missing")


@pytest.mark.parametrize(
    ("spec", "reason", "says"),
    [
        pytest.param({"stores": {}}, "NoObjectStore", "endpoint", id="blobs in every pod"),
        pytest.param({"settings": {"SLIPWAY_NO_SUCH": "1"}}, "InvalidSetting", "SLIPWAY_NO_SUCH", id="a setting"),
        pytest.param({"upgrade": {"strategy": "Incremental"}}, "NoGatewayClass", "in place", id="no way to move"),
        pytest.param({"operations": {"cpus": 8}}, "OperationsOverPool", "default has 4", id="operations"),
        pytest.param({"observability": {}}, "NoMetricsToken", "Prometheus", id="metrics that are closed"),
        pytest.param({"pools": [{"name": "a", "sharedMemory": "16Gi"}]}, "MemoryTooSmall", "1Gi", id="memory"),
    ],
)
def test_a_platform_is_warned_and_goes_on(spec: dict[str, Any], reason: str, says: str) -> None:
    (problem,) = told(of=platform(**(WHOLE | spec)))
    assert (problem.key.kind, problem.reason, problem.is_fatal) == ("Platform", reason, False)
    assert says in problem.message


def test_a_route_needs_a_cluster_that_knows_routes() -> None:
    routed = platform(**WHOLE, gateway={"expose": "gateway", "parent": {"name": "public"}})
    assert told(of=routed) == ()
    assert [each.reason for each in told(of=routed, kinds=frozenset())] == ["NoGatewayApi"]


def test_replicas_that_are_always_wanted_must_fit_their_pool() -> None:
    many = model("many", placement={"pool": "h200", "gpus": 8}, scaling={"minReplicas": 3, "maxReplicas": 3})
    (problem,) = told(many)
    assert (problem.reason, problem.is_fatal) == ("PoolTooSmall", False)
    assert "24 GPUs" in problem.message
    assert told(model("some", placement={"pool": "h200", "gpus": 8}, scaling={"replicas": 2})) == ()
