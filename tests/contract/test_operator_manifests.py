"""What the operator writes is what Kubernetes, KubeRay and Ray take, whatever the documents say."""

import copy
import json
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from fakes.documents import model, model_bodies, platform, platforms
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ray.serve.schema import ServeDeploySchema

from operators.desired.objects import OPTIONAL_KINDS, active_cluster, desired_objects, served_models
from operators.desired.ray_service import serve_config_text
from operators.desired.strategy import Strategy
from operators.state import LABEL_PLATFORM, Live, Manifest, ObjectKey, Resource, World
from serve.domain.documents import ModelDocument
from serve.domain.platform import PlatformDocument
from serve.serving.serve_config import Listener, serve_config

KUBERNETES = "1.36"
MAX_OBJECT_BYTES = 1_000_000
slowly = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """A namespace whose models fit its pools."""
    document = draw(platforms)
    bodies = draw(st.lists(model_bodies(), max_size=3, unique_by=lambda body: body["metadata"]["name"]))
    models = tuple(_placed(draw, document, body) for body in bodies)
    status = {"activeServiceStatus": {"rayClusterName": draw(st.sampled_from(["", f"{document.name}-abcde"]))}}
    service = ObjectKey("ray.io/v1", "RayService", document.name)
    return World(
        "models",
        "default",
        platform=Resource(document, uid="d9607e19-f88f-11e6-a518-42010a800195"),
        models=tuple(Resource(each, uid="m") for each in models),
        live=Live({service: {"status": status}}, known_kinds=OPTIONAL_KINDS),
    )


def _placed(draw: st.DrawFn, document: PlatformDocument, body: dict[str, Any]) -> ModelDocument:
    pool = draw(st.sampled_from(document.spec.pools))
    gpus = draw(
        st.sampled_from([share for share in (0.5, 1, pool.gpus_per_node) if share <= pool.gpus_per_node] or [0])
    )
    body = copy.deepcopy(body)
    body["spec"]["placement"] = {"pool": pool.name, "gpus": gpus, "cpus": 0.1}
    return ModelDocument.model_validate(body)


strategies = st.sampled_from(Strategy)


def of_kind(manifests: tuple[Manifest, ...], kind: str) -> Manifest:
    (found,) = [each for each in manifests if each["kind"] == kind]
    return found


def pod_templates(ray_service: Manifest) -> Iterator[Manifest]:
    cluster = ray_service["spec"]["rayClusterConfig"]
    yield cluster["headGroupSpec"]["template"]
    yield from (group["template"] for group in cluster["workerGroupSpecs"])


@settings(slowly, max_examples=12)
@given(worlds(), strategies)
def test_kubernetes_takes_every_manifest(world: World, strategy: Strategy) -> None:
    manifests = desired_objects(world, strategy)
    for manifest in manifests:
        if manifest["kind"] in {"Service", "Ingress", "PodDisruptionBudget"}:
            kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
    for template in pod_templates(of_kind(manifests, "RayService")):
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "p", **template["metadata"]},
            "spec": template["spec"],
        }
        kubernetes_validate.validate(pod, KUBERNETES, strict=True)


@slowly
@given(worlds(), strategies)
def test_pods_keep_to_the_restricted_standard(world: World, strategy: Strategy) -> None:
    for template in pod_templates(of_kind(desired_objects(world, strategy), "RayService")):
        spec = template["spec"]
        assert spec["restartPolicy"] == "Never"
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
        for container in spec["containers"] + spec["initContainers"]:
            security = container["securityContext"]
            assert not security["privileged"]
            assert not security["allowPrivilegeEscalation"]
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert security["readOnlyRootFilesystem"]
            assert not container["image"].endswith(":latest")
            assert ":" in container["image"].rpartition("/")[2]


@slowly
@given(worlds(), strategies)
def test_pods_agree_with_themselves(world: World, strategy: Strategy) -> None:
    """What the API server checks beyond the schema."""
    for template in pod_templates(of_kind(desired_objects(world, strategy), "RayService")):
        spec = template["spec"]
        volumes = [volume["name"] for volume in spec["volumes"]]
        assert len(set(volumes)) == len(volumes)
        for container in spec["containers"] + spec["initContainers"]:
            paths = [mount["mountPath"] for mount in container["volumeMounts"]]
            assert len(set(paths)) == len(paths)
            assert {mount["name"] for mount in container["volumeMounts"]} <= set(volumes)
            names = [variable["name"] for variable in container["env"]]
            assert len(set(names)) == len(names)
            resources = container["resources"]
            assert resources["requests"].keys() >= {"cpu", "memory", "ephemeral-storage"}
            assert {name: resources["requests"][name] for name in resources["limits"]} == resources["limits"]


@slowly
@given(worlds(), strategies)
def test_names_and_labels_keep_within_their_limits(world: World, strategy: Strategy) -> None:
    manifests = desired_objects(world, strategy)
    keys = [ObjectKey.of(manifest) for manifest in manifests]
    assert len(set(keys)) == len(keys)
    for manifest in manifests:
        metadata = manifest["metadata"]
        limit = {"RayService": 47, "Service": 63}.get(manifest["kind"], 253)
        assert len(metadata["name"]) <= limit
        assert metadata["labels"][LABEL_PLATFORM] == world.platform.name
        assert all(len(value) <= 63 for value in metadata["labels"].values())
        (owner,) = metadata["ownerReferences"]
        assert owner["controller"]
        assert owner["uid"] == world.platform.uid


@cache
def kuberay_schema() -> dict[str, Any]:
    """Of RayService v1, without fields that it does not know."""
    path = os.environ.get("KUBERAY_CRD_FILE")
    if not path:
        pytest.skip("KUBERAY_CRD_FILE names no file with KubeRay's definition of RayService")
    definition = yaml.load(Path(path).read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    (schema,) = [each["schema"]["openAPIV3Schema"] for each in definition["spec"]["versions"] if each["name"] == "v1"]
    closed = strict(schema)
    closed["properties"]["metadata"] = {"type": "object"}
    return closed


def strict(schema: Any) -> Any:
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: strict(value) for key, value in schema.items()}
    is_open = "additionalProperties" in schema or schema.get("x-kubernetes-preserve-unknown-fields")
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object" and not is_open:
        closed["additionalProperties"] = False
    return closed


@cache
def kuberay() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(kuberay_schema())


@settings(slowly, max_examples=25)
@given(worlds(), strategies)
def test_kuberay_takes_the_ray_service(world: World, strategy: Strategy) -> None:
    errors = kuberay().iter_errors(of_kind(desired_objects(world, strategy), "RayService"))
    assert [f"{error.json_path}: {error.message}" for error in errors] == []


def test_the_strict_schema_notices_a_field_that_kuberay_does_not_know() -> None:
    manifest = of_kind(desired_objects(_world(platform()), Strategy.IN_PLACE), "RayService")
    manifest["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]["volume"] = []
    assert list(kuberay().iter_errors(manifest))


@pytest.mark.filterwarnings("ignore:The `metrics_interval_s` field:DeprecationWarning")
@slowly
@given(worlds(), strategies)
def test_ray_takes_the_configuration(world: World, strategy: Strategy) -> None:
    text = of_kind(desired_objects(world, strategy), "RayService")["spec"]["serveConfigV2"]
    config = ServeDeploySchema.model_validate(yaml.safe_load(text))
    names = {application.name for application in config.applications}
    assert names == {"gateway", "runner", "ledger", "operations"} | {
        f"model-{each.name}" for each in served_models(world)
    }


@slowly
@given(worlds())
def test_a_cluster_and_one_machine_have_the_same_configuration(world: World) -> None:
    """But for where they listen."""
    text = of_kind(desired_objects(world, Strategy.IN_PLACE), "RayService")["spec"]["serveConfigV2"]
    local = serve_config(world.platform.document, served_models(world), Listener("127.0.0.1", 8000, every_node=False))
    cluster = {"proxy_location": "EveryNode", "http_options": {"host": "0.0.0.0", "port": 8000}}
    assert text == serve_config_text(local | cluster)


@slowly
@given(worlds(), strategies, st.randoms(use_true_random=False))
def test_the_order_of_the_models_changes_no_byte(world: World, strategy: Strategy, random: Any) -> None:
    models = list(world.models)
    random.shuffle(models)
    shuffled = World(world.namespace, world.tenant, platform=world.platform, models=tuple(models), live=world.live)
    assert json.dumps(desired_objects(world, strategy)) == json.dumps(desired_objects(shuffled, strategy))


@slowly
@given(worlds(), strategies)
def test_manifests_share_no_part(world: World, strategy: Strategy) -> None:
    """Who changes one in place changes no other."""
    seen: set[int] = set()

    def walk(value: Any) -> None:
        if isinstance(value, dict | list) and value:
            assert id(value) not in seen
            seen.add(id(value))
            for each in value.values() if isinstance(value, dict) else value:
                walk(each)

    for manifest in desired_objects(world, strategy):
        walk(manifest)


def _world(document: PlatformDocument, *models: ModelDocument) -> World:
    resources = tuple(Resource(each, uid="m") for each in models)
    return World("models", "default", platform=Resource(document, uid="u"), models=resources)


def test_five_hundred_models_and_sixteen_pools_stay_under_a_megabyte() -> None:
    pools = [{"name": "default", "cpu": True}, *({"name": f"h200-{index}", "gpusPerNode": 8} for index in range(15))]
    models = [
        model(
            f"{'m' * 34}-{index:04}",
            card={"title": "t", "description": "d" * 4000},
            placement={"pool": f"h200-{index % 15}", "gpus": 2},
        )
        for index in range(500)
    ]
    manifest = of_kind(desired_objects(_world(platform(pools=pools), *models), Strategy.IN_PLACE), "RayService")
    assert manifest["spec"]["serveConfigV2"].count('"replica"') == 500
    assert len(json.dumps(manifest)) < MAX_OBJECT_BYTES


def test_the_active_cluster_is_the_one_that_kuberay_says() -> None:
    service = {"status": {"activeServiceStatus": {"rayClusterName": "slipway-x"}, "pendingServiceStatus": {}}}
    live = Live({ObjectKey("ray.io/v1", "RayService", "slipway"): service})
    assert active_cluster(live, "slipway") == "slipway-x"
    assert active_cluster(Live(), "slipway") == ""
