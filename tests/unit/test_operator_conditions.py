"""What the operator says of each resource."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fakes.documents import adapter, envelope, model, platform

from operators.conditions.rolling import reason_of
from operators.conditions.seen import PATIENCE
from operators.conditions.statuses import statuses
from operators.crds.statuses import (
    AdapterResourceStatus,
    ModelResourceStatus,
    PlatformResourceStatus,
    WorkflowResourceStatus,
)
from operators.desired.checks import problems
from operators.desired.strategy import Strategy
from operators.planning.plan import UpgradeState
from operators.state import (
    ANNOTATION_MANAGED_BY,
    LABEL_POOL,
    Catalogue,
    InvalidResource,
    Live,
    Manifest,
    ObjectKey,
    Problem,
    Refusal,
    Resource,
    StoredDocument,
    World,
)
from serve.domain.documents import API_VERSION, ModelDocument
from serve.domain.workflow import WorkflowDocument

NOW = datetime(2026, 5, 1, 12, 0, 0, tzinfo=UTC)
MOMENT = "2026-05-01T12:00:00Z"
SHAPES = {"Model": ModelResourceStatus, "Adapter": AdapterResourceStatus, "Platform": PlatformResourceStatus}
SERVICE = ObjectKey("ray.io/v1", "RayService", "slipway")
WEIGHTS = "sha256:" + "1" * 64
ECHO = model()
NO_UPGRADE = UpgradeState()
ANSWERS = Catalogue(is_answering=True, version="0.1.0")
WEIGHTED = {"weights": {"uri": "hf://org/model"}, "engine": {"kind": "vllm"}}


def resource(document: Any, status: dict[str, Any] | None = None, **given: Any) -> Resource[Any]:
    return Resource(document, f"uid-{document.name}", status=status or {}, **given)


def world(**given: Any) -> World:
    return World("models", "acme", **({"platform": resource(platform())} | given))


def report(document: ModelDocument = ECHO, **given: Any) -> dict[str, Any]:
    usual = {
        "name": document.name,
        "digest": document.digest(),
        "managed_by": "kubernetes",
        "state": "ready",
        "message": "",
        "replicas": {"ready": 1, "desired": 2},
        "cold_start_seconds": 12.5,
        "weights_digest": None,
        "price_version": None,
        "scaling_decisions": [],
    }
    return usual | given


def answering(*reports: dict[str, Any], **given: Any) -> Catalogue:
    return Catalogue(is_answering=True, version="0.1.0", reports={one["name"]: one for one in reports}, **given)


def status_of(
    seen: World,
    catalogue: Catalogue,
    kind: str = "Model",
    name: str = "echo",
    problems: tuple[Problem, ...] = (),
    refusals: tuple[Refusal, ...] = (),
    upgrade: UpgradeState = NO_UPGRADE,
    now: datetime = NOW,
    is_passed_on: bool = True,
) -> dict[str, Any]:
    every = statuses(seen, catalogue, problems, refusals, upgrade, now, is_passed_on)
    found = every[ObjectKey(API_VERSION, kind, name)]
    SHAPES.get(kind, WorkflowResourceStatus).model_validate(found)
    return found


def told(status: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {one["type"]: (one["status"], one["reason"]) for one in status["conditions"]}


def message(status: dict[str, Any], name: str = "Ready") -> str:
    return next(one["message"] for one in status["conditions"] if one["type"] == name)


def one_model(document: ModelDocument, **given: Any) -> World:
    return world(models=(resource(document, **given),))


MODEL_STATES = [
    pytest.param({}, "Serving", "True", id="replicas answer"),
    pytest.param({"state": "at_zero", "replicas": {"ready": 0, "desired": 0}}, "AtZero", "True", id="at zero"),
    pytest.param({"state": "loading", "replicas": {"ready": 0, "desired": 1}}, "Starting", "False", id="starting"),
    pytest.param({"state": "failed", "message": "no such file"}, "StartFailed", "False", id="cannot start"),
    pytest.param({"digest": "sha256:older"}, "NotAppliedYet", "False", id="not applied yet"),
]


@pytest.mark.parametrize(("given", "reason", "is_ready"), MODEL_STATES)
def test_a_model_is_ready_when_a_call_would_be_answered(given: dict[str, Any], reason: str, is_ready: str):
    status = status_of(one_model(model()), answering(report(**given)))
    assert told(status)["Ready"] == (is_ready, reason)
    assert "WeightsResolved" not in told(status), "it has none"


def deploying(status: str, told: str = "") -> Live:
    applications = {"model-echo": {"status": status, "message": told}}
    return Live({SERVICE: {"status": {"activeServiceStatus": {"applicationStatuses": applications}}}})


BEFORE = {
    "observedGeneration": 1,
    "conditions": [
        {"type": "Deployed", "status": "True", "observedGeneration": 1, "lastTransitionTime": MOMENT},
        {"type": "Ready", "status": "True", "observedGeneration": 1, "lastTransitionTime": MOMENT},
    ],
}
ROLLOUTS = [
    pytest.param(2, False, Live(), ("False", "NotPassedOnYet"), id="KubeRay has not seen it"),
    pytest.param(2, True, deploying("DEPLOYING"), ("False", "Starting"), id="old replicas answer, new ones start"),
    pytest.param(2, True, deploying("DEPLOY_FAILED", "no such file"), ("False", "StartFailed"), id="new ones fail"),
    pytest.param(2, True, deploying("RUNNING"), ("True", "Serving"), id="the new ones answer"),
    pytest.param(1, False, deploying("DEPLOYING"), ("True", "Serving"), id="another model's change"),
]


@pytest.mark.parametrize(("generation", "is_passed_on", "live", "expected"), ROLLOUTS)
def test_an_edited_model_is_ready_when_the_replicas_of_the_edit_answer(
    generation: int, is_passed_on: bool, live: Live, expected: tuple[str, str]
):
    seen = world(models=(resource(model(), BEFORE, generation=generation),), live=live)
    status = status_of(seen, answering(report()), is_passed_on=is_passed_on)
    assert (told(status)["Ready"], status["observedGeneration"]) == (expected, generation)


def test_a_model_says_what_one_asks_of_it():
    changes = [{"at": MOMENT, "before": n, "after": n + 1, "reason": "work arrives"} for n in range(9)]
    told_report = report(scaling_decisions=changes, price_version="price-1")
    status = status_of(one_model(model(), generation=4), answering(told_report))
    assert status["replicas"] == {"ready": 1, "desired": 2}
    assert (status["coldStartSeconds"], status["priceVersion"], status["digest"]) == (12.5, "price-1", model().digest())
    assert status["endpoint"] == "http://slipway-gateway.models.svc:8000/v1"
    assert status["selector"] == "slipway.dev/platform=slipway,slipway.dev/pool=default"
    assert status["scalingDecisions"] == changes[:8]
    assert {one["observedGeneration"] for one in status["conditions"]} == {status["observedGeneration"]} == {4}


WEIGHT_STATES = [
    pytest.param({"weights_digest": WEIGHTS}, ("True", "Resolved"), ("True", "Serving"), id="resolved"),
    pytest.param(
        {"state": "at_zero", "replicas": {"ready": 0, "desired": 0}},
        ("Unknown", "NotStartedYet"),
        ("True", "AtZero"),
        id="never started",
    ),
    pytest.param(
        {"state": "failed", "message": "hf answered 401"}, ("False", "StartFailed"), ("False", "StartFailed"), id="away"
    ),
    pytest.param(
        {"state": "failed", "message": "out of memory", "weights_digest": WEIGHTS},
        ("True", "Resolved"),
        ("False", "StartFailed"),
        id="the engine fails",
    ),
]


@pytest.mark.parametrize(("given", "weights", "ready"), WEIGHT_STATES)
def test_weights_are_resolved_when_their_bytes_are_known(
    given: dict[str, Any], weights: tuple[str, str], ready: tuple[str, str]
):
    document = model(**WEIGHTED)
    found = told(status_of(one_model(document), answering(report(document, **given))))
    assert (found["WeightsResolved"], found["Ready"]) == (weights, ready)


def test_a_refusal_is_told_in_the_platforms_words():
    refusal = Refusal("Model", "echo", model().digest(), "invalid_card", "inputs.steps: there is no such input")
    status = status_of(one_model(model()), answering(), refusals=(refusal,))
    assert told(status)["Deployed"] == told(status)["Ready"] == ("False", "InvalidCard")
    assert message(status) == "inputs.steps: there is no such input"
    changed = one_model(model(card={"title": "Better"}))
    assert told(status_of(changed, answering(), refusals=(refusal,)))["Ready"] == ("False", "NotAppliedYet")


def test_a_fatal_problem_is_all_that_counts():
    problem = Problem(ObjectKey(API_VERSION, "Model", "echo"), "UnknownPool", "There is no pool h200.")
    status = status_of(one_model(model()), answering(report()), problems=(problem,))
    assert told(status) == {"Accepted": ("False", "UnknownPool"), "Ready": ("False", "UnknownPool")}


def test_a_warning_leaves_a_model_ready():
    problem = Problem(ObjectKey(API_VERSION, "Model", "echo"), "WeightsUnpinned", "Pin them.", is_fatal=False)
    status = status_of(one_model(model()), answering(report()), problems=(problem,))
    assert told(status)["Accepted"] == ("True", "WeightsUnpinned")
    assert told(status)["Ready"] == ("True", "Serving")


def test_without_a_platform_one_is_told_to_apply_one():
    status = status_of(world(platform=None, models=(resource(model()),)), Catalogue())
    assert told(status)["Ready"] == ("False", "NoPlatform")


def test_a_moment_is_that_of_the_last_change():
    before = status_of(one_model(model()), answering(report()))
    later = NOW + timedelta(hours=1)
    same = status_of(one_model(model(), status=before), answering(report()), now=later)
    assert same == before
    fails = status_of(one_model(model(), status=before), answering(report(state="failed")), now=later)
    moments = {one["type"]: one["lastTransitionTime"] for one in fails["conditions"]}
    assert moments == {
        "Accepted": MOMENT,
        "Deployed": "2026-05-01T13:00:00Z",
        "Ready": "2026-05-01T13:00:00Z",
    }


def gateway_since(status: str, since: datetime) -> Resource[Any]:
    found = {"type": "Gateway", "status": status, "lastTransitionTime": since.strftime("%Y-%m-%dT%H:%M:%SZ")}
    return resource(platform(), {"conditions": [found]})


SILENCES = [
    pytest.param("True", NOW - timedelta(days=1), True, id="just begun"),
    pytest.param("False", NOW - PATIENCE / 2, True, id="short"),
    pytest.param("False", NOW - PATIENCE * 2, False, id="long"),
]


@pytest.mark.parametrize(("gateway", "since", "is_kept"), SILENCES)
def test_a_short_silence_changes_nothing(gateway: str, since: datetime, is_kept: bool):
    style = StoredDocument(adapter().digest(), "kubernetes")
    talks = world(models=(resource(model()),), adapters=(resource(adapter()),))
    catalogue = answering(report(), adapters={"style": style})
    before = {kind: status_of(talks, catalogue, kind, name) for kind, name in (("Model", "echo"), ("Adapter", "style"))}
    silent = world(
        platform=gateway_since(gateway, since),
        models=(resource(model(), before["Model"]),),
        adapters=(resource(adapter(), before["Adapter"]),),
    )
    away = Catalogue(message="connection refused")
    for kind, name in (("Model", "echo"), ("Adapter", "style")):
        after = status_of(silent, away, kind, name)
        assert (after == before[kind]) == is_kept
        if not is_kept:
            assert told(after)["Ready"] == ("Unknown", "PlatformNotAnswering")
            assert after["digest"] == before[kind]["digest"], "what was known is still told"


def test_a_new_generation_is_looked_at_in_silence_too():
    before = status_of(one_model(model()), answering(report()))
    seen = world(platform=gateway_since("True", NOW), models=(resource(model(), before, generation=2),))
    status = status_of(seen, Catalogue(message="connection refused"))
    assert status["observedGeneration"] == 2
    assert told(status)["Deployed"] == ("Unknown", "PlatformNotAnswering")


def test_a_model_that_was_applied_over_http_says_where_to_change_it():
    status = status_of(one_model(model(), annotations={ANNOTATION_MANAGED_BY: "api"}), answering(report()))
    assert told(status)["ManagedByApi"] == ("True", "AppliedOverHttp")
    assert "slipway delete model echo" in message(status, "ManagedByApi")
    assert told(status)["Ready"] == ("True", "Serving")


def test_an_adapter_says_its_version():
    style = StoredDocument(adapter().digest(), "kubernetes", version=WEIGHTS, base="sd")
    status = status_of(world(adapters=(resource(adapter()),)), answering(adapters={"style": style}), "Adapter", "style")
    assert told(status)["Ready"] == ("True", "Applied")
    assert (status["version"], status["base"], status["tenant"]) == (WEIGHTS, "sd", "acme")


def test_a_workflow_says_its_version():
    body = envelope("Workflow", "greet", {"nodes": {"a": {"type": "op:text", "inputs": {}}}})
    document = WorkflowDocument.model_validate(body)
    catalogue = answering(workflows={"greet": StoredDocument(document.digest(), "kubernetes", version="3")})
    status = status_of(world(workflows=(resource(document),)), catalogue, "Workflow", "greet")
    assert (told(status)["Ready"], status["version"]) == (("True", "Applied"), 3)


@pytest.mark.parametrize("managed_by", ["api", "kubernetes"])
def test_an_adapter_that_the_platform_has_otherwise_is_not_applied(managed_by: str):
    digest = adapter().digest() if managed_by == "api" else "sha256:older"
    catalogue = answering(adapters={"style": StoredDocument(digest, managed_by)})
    status = status_of(world(adapters=(resource(adapter()),)), catalogue, "Adapter", "style")
    assert told(status)["Ready"] == ("False", "NotAppliedYet")


def test_an_unreadable_resource_says_why_and_keeps_what_it_said():
    manifest = {
        "apiVersion": API_VERSION,
        "kind": "Model",
        "metadata": {"name": "echo", "generation": 3},
        "status": {"coldStartSeconds": 3},
    }
    seen = world(invalid=(InvalidResource(manifest, "spec.family: Field required"),))
    status = status_of(seen, answering())
    assert told(status)["Ready"] == ("False", "InvalidDocument")
    assert (status["coldStartSeconds"], status["observedGeneration"]) == (3, 3)
    assert status_of(seen, answering(), "Platform", "slipway")["models"] == {"ready": 0, "total": 1}


# --- Platform


def running(head: str = "True", pods: tuple[Manifest, ...] = ()) -> Live:
    service = {"status": {"activeServiceStatus": {"rayClusterName": "slipway-abc"}}}
    cluster = {"status": {"conditions": [{"type": "HeadPodReady", "status": head}]}}
    return Live({SERVICE: service}, {"slipway-abc": cluster}, pods)


def pod(name: str, pool: str = "default", **status: Any) -> Manifest:
    return {"metadata": {"name": name, "labels": {LABEL_POOL: pool}}, "status": status}


def waiting(name: str, reason: str, text: str = "") -> Manifest:
    state = {"waiting": {"reason": reason, "message": text}}
    return pod(name, containerStatuses=[{"name": "ray-head", "state": state}])


READY_POD = {"conditions": [{"type": "Ready", "status": "True"}], "phase": "Running"}
UNPLACED = {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no GPU"}]}


def platform_status(live: Live, catalogue: Catalogue = ANSWERS, **given: Any) -> dict[str, Any]:
    seen = world(live=live, models=(resource(model()),), **{k: v for k, v in given.items() if k == "platform"})
    rest = {k: v for k, v in given.items() if k != "platform"}
    return status_of(seen, catalogue, "Platform", "slipway", **rest)


def test_a_platform_that_serves_says_where_and_how_much():
    pods = (pod("w1", **READY_POD), pod("w2", phase="Pending"), pod("w3", phase="Failed"), pod("head", "", **READY_POD))
    status = platform_status(running(pods=pods), answering(report()))
    expected = {"Accepted": "True", "RayCluster": "True", "Gateway": "True", "Ready": "True", "Nodes": "True"}
    assert {name: found for name, (found, _) in told(status).items()} == expected
    assert status["endpoint"] == "http://slipway-gateway.models.svc:8000"
    assert status["models"] == {"ready": 1, "total": 1}
    assert status["pools"] == [{"name": "default", "nodes": 2, "readyNodes": 1, "maxNodes": 1, "gpus": 0}]
    assert (status["version"], status["activeCluster"]) == ("0.1.0", "slipway-abc")


def starting(*pods: Manifest, status: dict[str, Any] | None = None) -> Live:
    return Live({SERVICE: {} if status is None else {"status": status}}, {"slipway-abc": {}}, pods)


def over_quota(reason: str) -> Manifest:
    told = {"type": "ReplicaFailure", "status": "True", "reason": reason, "message": "exceeded quota: gpus"}
    return {"status": {"state": "ready", "conditions": [told]}}


CRASHED = {
    "name": "prepare",
    "state": {"waiting": {"reason": "CrashLoopBackOff"}},
    "lastState": {"terminated": {"exitCode": 3, "message": "the database refuses the password"}},
}
CLUSTERS = [
    pytest.param(Live(), "NotCreated", "", id="before the first pass"),
    pytest.param(starting(), "WaitingForKubeRay", "KubeRay", id="nobody acts on the RayService"),
    pytest.param(
        starting(status={"conditions": [{"type": "Ready", "reason": "ValidationFailed", "message": "bad name"}]}),
        "ValidationFailed",
        "bad name",
        id="KubeRay refuses it",
    ),
    pytest.param(starting(waiting("head", "ImagePullBackOff", "no such tag")), "ImagePullBackOff", "no such tag"),
    pytest.param(
        starting(waiting("head", "CreateContainerConfigError", 'secret "slipway-database" not found')),
        "CreateContainerConfigError",
        "slipway-database",
    ),
    pytest.param(starting(pod("head", initContainerStatuses=[CRASHED])), "CrashLoopBackOff", "refuses the password"),
    pytest.param(
        starting(pod("w", **UNPLACED), waiting("x", "ErrImagePull")), "ErrImagePull", "", id="the worst first"
    ),
    pytest.param(running(head="False"), "Starting", "", id="the head is away"),
    pytest.param(
        Live({SERVICE: {"status": {}}}, {"slipway-abc": over_quota("FailedCreateHeadPod")}),
        "FailedCreateHeadPod",
        "exceeded quota",
        id="a quota is used up",
    ),
    pytest.param(
        Live(
            {
                SERVICE: {
                    "metadata": {"generation": 2},
                    "spec": {},
                    "status": {
                        "observedGeneration": 1,
                        "activeServiceStatus": {"rayClusterName": "slipway-abc"},
                        "conditions": [{"type": "Ready", "reason": "ValidationFailed", "message": "no feature gate"}],
                    },
                }
            },
            {"slipway-abc": {"status": {"state": "ready"}}},
        ),
        "ValidationFailed",
        "no feature gate",
        id="KubeRay refuses a change of a cluster that runs",
    ),
]


@pytest.mark.parametrize(("live", "reason", "text"), CLUSTERS)
def test_a_cluster_that_does_not_run_says_why(live: Live, reason: str, text: str):
    status = platform_status(live, Catalogue(message="connection refused"))
    assert told(status)["RayCluster"] == told(status)["Ready"] == ("False", reason)
    assert text in message(status)


def test_a_pool_that_cannot_grow_leaves_the_platform_ready():
    status = platform_status(running(pods=(pod("w1", **UNPLACED), pod("w2", **UNPLACED))))
    assert told(status)["Nodes"] == ("False", "Unschedulable")
    assert "1 more" in message(status, "Nodes")
    assert told(status)["Ready"] == ("True", "Serving")


def test_a_pool_that_is_over_its_quota_is_told_of():
    live = replace(running(pods=(pod("w1", **READY_POD),)), ray_clusters={"slipway-abc": over_quota("FailedCreate")})
    status = platform_status(live)
    assert (told(status)["Nodes"], message(status, "Nodes")) == (("False", "FailedCreate"), "exceeded quota: gpus")
    assert told(status)["Ready"] == ("True", "Serving")


def test_a_platform_that_does_not_answer_is_not_ready():
    status = platform_status(running(), Catalogue(message="the admin key is not known"))
    assert told(status)["Ready"] == ("False", "NotAnswering")
    assert message(status) == "the admin key is not known"


UPGRADES = [
    pytest.param(UpgradeState(), None, id="none"),
    pytest.param(
        UpgradeState(Strategy.IN_PLACE, True, reason="PodsReplaced", message="one by one", replaced=1, total=3),
        ("True", "PodsReplaced"),
        id="under way",
    ),
    pytest.param(
        UpgradeState(Strategy.INCREMENTAL, False, True, "TooFewGpus", "needs 16 GPUs"),
        ("False", "TooFewGpus"),
        id="blocked",
    ),
]


@pytest.mark.parametrize(("upgrade", "condition"), UPGRADES)
def test_an_upgrade_is_told(upgrade: UpgradeState, condition: tuple[str, str] | None):
    status = platform_status(running(), upgrade=upgrade)
    assert told(status).get("Upgrading") == condition
    assert told(status)["Ready"] == ("True", "Serving")
    assert ("upgrade" in status) == (condition is not None)
    if condition is not None:
        later = platform_status(
            running(), upgrade=upgrade, platform=resource(platform(), status), now=NOW + timedelta(hours=1)
        )
        assert later["upgrade"]["startedAt"] == status["upgrade"]["startedAt"] == MOMENT


def test_a_second_platform_is_told_of_the_first():
    second = replace(resource(platform()), document=platform().model_copy(update={"metadata": model("b").metadata}))
    seen = world(other_platforms=(second,))
    status = status_of(seen, answering(), "Platform", "b", problems=problems(seen))
    assert told(status)["Ready"] == ("False", "AnotherPlatform")
    assert "slipway" in message(status)


ADDRESSES = [
    pytest.param({}, {}, None, id="not exposed"),
    pytest.param({"expose": "ingress", "host": "ai.example"}, {}, "http://ai.example", id="a host"),
    pytest.param(
        {"expose": "ingress", "host": "ai.example", "tlsSecret": "cert"}, {}, "https://ai.example", id="a certificate"
    ),
    pytest.param(
        {"expose": "ingress"},
        {ObjectKey("networking.k8s.io/v1", "Ingress", "slipway-gateway"): [{"hostname": "lb.example"}]},
        "http://lb.example",
        id="no host",
    ),
    pytest.param(
        {"serviceType": "LoadBalancer"},
        {ObjectKey("v1", "Service", "slipway-gateway"): [{"ip": "192.0.2.7"}]},
        "http://192.0.2.7:8000",
        id="a load balancer",
    ),
    pytest.param({"serviceType": "LoadBalancer"}, {}, None, id="a load balancer that has no address yet"),
]


@pytest.mark.parametrize(("gateway", "balanced", "url"), ADDRESSES)
def test_the_address_from_outside_is_told(gateway: dict[str, Any], balanced: dict[ObjectKey, Any], url: str | None):
    objects = {key: {"status": {"loadBalancer": {"ingress": places}}} for key, places in balanced.items()}
    live = replace(running(), objects=running().objects | objects)
    status = platform_status(live, platform=resource(platform(gateway=gateway)))
    assert status.get("url") == url


@pytest.mark.parametrize(
    ("code", "reason"),
    [("managed_elsewhere", "ManagedElsewhere"), ("413", "Http413"), ("", "Refused"), ("UnknownPool", "UnknownPool")],
)
def test_codes_become_reasons(code: str, reason: str):
    assert reason_of(code) == reason


def test_a_message_is_cut_to_what_the_server_takes():
    refusal = Refusal("Model", "echo", model().digest(), "invalid_card", "x" * 10_000)
    assert len(message(status_of(one_model(model()), answering(), refusals=(refusal,)))) == 2048
