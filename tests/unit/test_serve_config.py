"""Documents to Ray Serve's configuration: pure, stable, small."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from serve.domain.documents import API_VERSION, ModelDocument
from serve.domain.platform import LedgerSpec, OperationsSpec
from serve.serving.serve_config import (
    LEDGER_APP,
    OPERATIONS_APP,
    OPERATIONS_QUEUE,
    Listener,
    build_digest,
    default_platform,
    serve_config,
)

LISTENER = Listener("127.0.0.1", 8000, every_node=False)


def model(name: str = "echo", **spec: Any) -> ModelDocument:
    base = {"family": "llm", "tasks": ["chat"], "card": {"title": name}, "engine": {"kind": "echo"}}
    return ModelDocument.model_validate(
        {"apiVersion": API_VERSION, "kind": "Model", "metadata": {"name": name}, "spec": base | spec}
    )


def deployment(document: ModelDocument) -> dict[str, Any]:
    config = serve_config(default_platform(), [document], LISTENER)
    result: dict[str, Any] = config["applications"][-1]["deployments"][0]
    return result


def test_the_order_of_documents_changes_nothing() -> None:
    one, two = model("one"), model("two")
    assert serve_config(default_platform(), [one, two], LISTENER) == serve_config(
        default_platform(), [two, one], LISTENER
    )


def test_five_hundred_models_stay_under_a_megabyte() -> None:
    models = [model(f"model-{index}", card={"title": "t", "description": "d" * 4000}) for index in range(500)]
    assert len(json.dumps(serve_config(default_platform(), models, LISTENER))) < 1_000_000


def test_only_the_gateway_has_a_route() -> None:
    config = serve_config(default_platform(), [model()], LISTENER)
    assert [app["name"] for app in config["applications"] if app["route_prefix"]] == ["gateway"]


def test_the_ledger_has_as_many_replicas_as_the_platform_says_and_takes_a_batch_of_every_process() -> None:
    platform = default_platform()
    spec = platform.spec.model_copy(update={"ledger": LedgerSpec(replicas=3)})
    config = serve_config(platform.model_copy(update={"spec": spec}), [], LISTENER)
    (ledger,) = next(app for app in config["applications"] if app["name"] == LEDGER_APP)["deployments"]
    assert ledger["num_replicas"] == 3
    assert ledger["max_ongoing_requests"] > 500


def test_operations_run_as_the_platform_says_and_refuse_before_ray_would_hold_them_back() -> None:
    platform = default_platform()
    spec = platform.spec.model_copy(update={"operations": OperationsSpec(replicas=2, max_concurrency=8, cpus=2)})
    config = serve_config(platform.model_copy(update={"spec": spec}), [], LISTENER)
    application = next(app for app in config["applications"] if app["name"] == OPERATIONS_APP)
    (deployment,) = application["deployments"]
    assert application["args"] == {"max_concurrency": 8}
    assert deployment["num_replicas"] == 2
    assert deployment["ray_actor_options"] == {"num_cpus": 2, "resources": {"pool_default": 0.001}}
    assert deployment["max_ongoing_requests"] > 8 + OPERATIONS_QUEUE.max_waiting


def test_a_new_card_keeps_the_replicas_and_tells_the_gateways() -> None:
    old, new = model(), model(card={"title": "another"})
    before, after = (serve_config(default_platform(), [each], LISTENER)["applications"] for each in (old, new))
    assert before[-1]["args"] == after[-1]["args"]
    assert before[-1]["deployments"][0]["user_config"] != after[-1]["deployments"][0]["user_config"]
    assert before[0]["deployments"][0]["user_config"] != after[0]["deployments"][0]["user_config"]


def test_a_new_engine_option_needs_new_replicas() -> None:
    assert build_digest(model().spec) != build_digest(model(engine={"kind": "echo", "tokenMs": 5}).spec)


@pytest.mark.parametrize(
    ("scaling", "expected"),
    [
        pytest.param({"replicas": 3}, {"num_replicas": 3}, id="a fixed number"),
        pytest.param({"minReplicas": 1, "maxReplicas": 1}, {"num_replicas": 1}, id="a range of one"),
    ],
)
def test_a_fixed_number_of_replicas_has_no_autoscaler(scaling: dict[str, Any], expected: dict[str, Any]) -> None:
    found = deployment(model(scaling=scaling))
    assert {key: found[key] for key in expected} == expected
    assert "autoscaling_config" not in found


def test_a_model_from_zero_is_autoscaled_by_backlog() -> None:
    found = deployment(model(scaling={"minReplicas": 0, "maxReplicas": 4, "targetWaitSeconds": 3, "idleSeconds": 60}))
    autoscaling = found["autoscaling_config"]
    assert (autoscaling["min_replicas"], autoscaling["max_replicas"]) == (0, 4)
    bounds = {"minimum": 0, "maximum": 4, "target_wait_seconds": 3, "idle_seconds": 60, "buffer": 0}
    assert autoscaling["policy"]["policy_kwargs"] == {"model": "echo"} | bounds


def test_a_share_of_a_gpu_is_an_actor_option() -> None:
    options = deployment(model(placement={"gpus": 0.25, "memory": "2Gi"}))["ray_actor_options"]
    assert options == {"num_cpus": 1, "num_gpus": 0.25, "memory": 2**31, "resources": {"pool_default": 0.001}}


def test_several_gpus_are_one_placement_group_of_whole_gpus() -> None:
    found = deployment(model(placement={"gpus": 4, "cpus": 8, "pool": "h200", "memory": "1Gi"}))
    assert found["placement_group_bundles"] == [{"CPU": 8, "GPU": 4, "pool_h200": 0.001, "memory": 2**30}]
    assert found["placement_group_strategy"] == "STRICT_PACK"
    options = {"num_cpus": 8, "num_gpus": 4, "resources": {"pool_h200": 0.001}, "memory": 2**30}
    assert found["ray_actor_options"] == options, "only what an actor holds itself does Ray show it"


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        pytest.param({"placement": {"gpus": 1.5}}, "whole number", id="one and a half GPUs"),
        pytest.param({"scaling": {"replicas": 2, "maxReplicas": 3}}, "fixed number", id="both ways to scale"),
        pytest.param({"scaling": {"minReplicas": 3, "maxReplicas": 2}}, "more than maxReplicas", id="empty range"),
        pytest.param({"engine": {"kind": "vllm"}}, "needs them", id="no weights"),
        pytest.param({"family": "painting"}, "family", id="unknown family"),
        pytest.param({"surprise": 1}, "surprise", id="unknown field"),
    ],
)
def test_a_document_that_cannot_work_is_refused(spec: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        model(**spec)


def test_every_model_is_routed_by_adapters_and_those_that_take_them_report_more_often() -> None:
    plain, styled = (deployment(model(adapters=each)) for each in ({}, {"enabled": True, "maxHost": 7}))
    assert {each["request_router_config"]["request_router_class"] for each in (plain, styled)} == {
        "deployments.routing.AdapterRouter"
    }
    routing = styled["request_router_config"]
    assert routing["request_router_kwargs"] == {"num_places": 16, "max_adapters": 7}
    assert routing["request_routing_stats_period_s"] < plain["request_router_config"]["request_routing_stats_period_s"]
