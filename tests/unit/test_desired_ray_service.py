"""The RayService: what the documents say, as KubeRay and Ray's autoscaler read it."""

import json
from typing import Any

import pytest
from fakes.documents import model, platform

from operators.desired.objects import desired_objects
from operators.desired.strategy import Strategy
from operators.state import Manifest, Resource, World
from serve.domain.documents import ModelDocument


def ray_service(*models: ModelDocument, strategy: Strategy = Strategy.IN_PLACE, **spec: Any) -> Manifest:
    resources = tuple(Resource(each, uid="m") for each in models)
    world = World("models", "default", platform=Resource(platform(**spec), uid="u"), models=resources)
    return desired_objects(world, strategy)[0]


def cluster(**spec: Any) -> Manifest:
    return ray_service(**spec)["spec"]["rayClusterConfig"]


def group(pool: Manifest, **spec: Any) -> Manifest:
    (found,) = cluster(pools=[pool], **spec)["workerGroupSpecs"]
    return found


def worker(pool: Manifest, **spec: Any) -> Manifest:
    return group(pool, **spec)["template"]["spec"]


def variables(container: Manifest) -> dict[str, Any]:
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container["env"]}


DEFAULT: Manifest = {"name": "default", "cpu": True}


def test_it_is_named_after_the_platform_and_owned_by_it() -> None:
    metadata = ray_service()["metadata"]
    assert (metadata["name"], metadata["namespace"]) == ("slipway", "models")
    assert metadata["ownerReferences"] == [
        {
            "apiVersion": "slipway.dev/v1alpha1",
            "kind": "Platform",
            "name": "slipway",
            "uid": "u",
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]


def test_without_a_platform_there_is_nothing() -> None:
    assert desired_objects(World("models", "default"), Strategy.IN_PLACE) == ()


def test_a_platform_that_is_deleted_wants_nothing_more() -> None:
    world = World("models", "default", platform=Resource(platform(), uid="u", is_deleting=True))
    assert desired_objects(world, Strategy.IN_PLACE) == ()


def test_every_pool_is_a_worker_group_in_the_documents_order() -> None:
    pools = [{"name": "zebra"}, {"name": "ant", "minNodes": 1, "maxNodes": 4}]
    groups = cluster(pools=pools)["workerGroupSpecs"]
    assert [(each["groupName"], each["minReplicas"], each["maxReplicas"]) for each in groups] == [
        ("zebra", 0, 1),
        ("ant", 1, 4),
    ]


def test_a_node_tells_ray_what_it_has() -> None:
    resources = {"cpu": "7500m", "memory": "64Gi"}
    pool = {"name": "gpu", "gpusPerNode": 8, "resources": resources, "sharedMemory": "16Gi"}
    parameters = group(pool)["rayStartParams"]
    assert parameters["num-cpus"] == "8"
    assert parameters["num-gpus"] == "8"
    assert parameters["memory"] == str(48 * 2**30), "what /dev/shm may take is no replica's"
    assert parameters["object-store-memory"] == str(2 * 2**30)


def test_a_pool_called_gpu_keeps_its_resource() -> None:
    """KubeRay takes a group's own resource that ends in `gpu` for the number of GPUs."""
    found = group({"name": "gpu", "gpusPerNode": 2})
    assert "resources" not in found
    quoted = found["rayStartParams"]["resources"]
    assert quoted[0] == quoted[-1] == "'"
    assert json.loads(quoted[1:-1]) == {"pool_gpu": 1000}


def test_ray_gets_an_object_store_that_it_starts_with_however_little_there_is() -> None:
    assert int(group(DEFAULT | {"sharedMemory": "64Mi"})["rayStartParams"]["object-store-memory"]) >= 75 * 2**20


def test_the_head_places_no_replica() -> None:
    assert cluster()["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"


def test_requests_are_limits_but_for_the_processor() -> None:
    resources = {"cpu": "6", "memory": "32Gi", "ephemeralStorage": "100Gi"}
    (container,) = worker({"name": "a", "gpusPerNode": 4, "resources": resources})["containers"]
    fixed = {"memory": "32Gi", "ephemeral-storage": "100Gi", "nvidia.com/gpu": "4"}
    assert container["resources"] == {"requests": {"cpu": "6"} | fixed, "limits": fixed}


def test_pools_with_gpus_run_the_build_with_cuda() -> None:
    digest = f"sha256:{'0' * 64}"
    image = {"repository": "registry.example.com/slipway", "tag": "1", "gpuTag": "1-gpu", "gpuDigest": digest}
    groups = cluster(image=image, pools=[DEFAULT, {"name": "gpu", "gpusPerNode": 1}])["workerGroupSpecs"]
    images = [each["template"]["spec"]["containers"][0]["image"] for each in groups]
    assert images == ["registry.example.com/slipway:1", f"registry.example.com/slipway:1-gpu@{digest}"]


def test_a_pool_says_where_its_pods_go() -> None:
    spec = worker(
        {
            "name": "h200",
            "gpusPerNode": 8,
            "nodeSelector": {"gpu": "h200"},
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
            "affinity": {"nodeAffinity": {}},
            "runtimeClass": "nvidia",
            "priorityClass": "high",
        }
    )
    assert spec["nodeSelector"] == {"gpu": "h200"}
    assert spec["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert spec["affinity"] == {"nodeAffinity": {}}
    assert (spec["runtimeClassName"], spec["priorityClassName"]) == ("nvidia", "high")


def test_only_the_head_has_a_token_of_the_cluster_and_the_administrators_key() -> None:
    found = cluster(pools=[DEFAULT], adminSecret="keys")
    head = found["headGroupSpec"]["template"]["spec"]
    pod = found["workerGroupSpecs"][0]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert "automountServiceAccountToken" not in head, "the autoscaler beside it needs it"
    assert [each["secret"]["secretName"] for each in head["volumes"] if "secret" in each] == ["keys"]
    assert not [each for each in pod["volumes"] if "secret" in each]
    (prepare,) = head["initContainers"]
    assert prepare["command"] == ["slipway", "node", "prepare", "--head"]
    (mount,) = [each for each in prepare["volumeMounts"] if each["name"] == "admin"]
    assert variables(prepare)["SLIPWAY_ADMIN_FILE"] == f"{mount['mountPath']}/admin"
    assert "admin" not in {each["name"] for each in head["containers"][0]["volumeMounts"]}


def test_the_names_of_services_do_not_become_settings() -> None:
    """A Service slipway-gateway would give pods SLIPWAY_GATEWAY_SERVICE_HOST."""
    assert worker(DEFAULT)["enableServiceLinks"] is False
    assert cluster()["headGroupSpec"]["template"]["spec"]["enableServiceLinks"] is False


def test_secrets_come_by_reference() -> None:
    stores = {
        "database": {"secret": {"name": "pg", "key": "dsn"}},
        "objects": {"endpoint": "https://s3.example.com", "secret": "bucket"},
    }
    found = variables(worker(DEFAULT, stores=stores, ray={"authSecret": "ray"})["containers"][0])
    assert found["SLIPWAY_STORAGE_DATABASE_URL"] == {"secretKeyRef": {"name": "pg", "key": "dsn"}}
    assert found["SLIPWAY_OBJECTS_ACCESS_KEY"] == {"secretKeyRef": {"name": "bucket", "key": "access-key"}}
    assert found["SLIPWAY_OBJECTS_SECRET_KEY"] == {"secretKeyRef": {"name": "bucket", "key": "secret-key"}}
    assert found["SLIPWAY_RAY_TOKEN"] == {"secretKeyRef": {"name": "ray", "key": "auth_token"}}
    assert found["SLIPWAY_OBJECTS_ENDPOINT"] == "https://s3.example.com"


def test_a_platforms_settings_count_last_and_wrong_ones_not_at_all() -> None:
    settings = {"SLIPWAY_MODELS_WHEELS_ALLOWED": "true", "SLIPWAY_GATEWAY_PORT": "many", "HF_ENDPOINT": "https://hub"}
    found = variables(worker(DEFAULT, settings=settings)["containers"][0])
    assert found["SLIPWAY_MODELS_WHEELS_ALLOWED"] == "true"
    assert found["SLIPWAY_GATEWAY_PORT"] == "8000"
    assert found["HF_ENDPOINT"] == "https://hub"


def test_the_autoscaler_is_the_second_version_and_no_variable_says_so() -> None:
    """KubeRay refuses the two together."""
    found = cluster(ray={"idleTimeoutSeconds": 60, "upscalingMode": "Conservative"})
    options = found["autoscalerOptions"]
    assert (options["version"], options["idleTimeoutSeconds"]) == ("v2", 60)
    assert options["upscalingMode"] == "Conservative"
    assert found["enableInTreeAutoscaling"] is True
    assert "RAY_enable_autoscaler_v2" not in variables(found["headGroupSpec"]["template"]["spec"]["containers"][0])


def test_redis_is_told_to_kuberay_alone() -> None:
    tolerance = {"redisAddress": "redis:6379", "redisPassword": {"name": "redis", "key": "password"}}
    found = cluster(ray={"faultTolerance": tolerance})
    assert found["gcsFaultToleranceOptions"] == {
        "redisAddress": "redis:6379",
        "redisPassword": {"valueFrom": {"secretKeyRef": {"name": "redis", "key": "password"}}},
    }
    assert "gcsFaultToleranceOptions" not in cluster()


@pytest.mark.parametrize(
    ("cache", "expected"),
    [
        pytest.param({"claim": "all"}, {"persistentVolumeClaim": {"claimName": "all"}}, id="one claim for all"),
        pytest.param({"sizeLimit": "10Gi"}, {"emptyDir": {"sizeLimit": "10Gi"}}, id="the pod's disk"),
        pytest.param(
            {"storageClass": "fast", "sizeLimit": "500Gi"},
            {
                "ephemeral": {
                    "volumeClaimTemplate": {
                        "spec": {
                            "accessModes": ["ReadWriteOnce"],
                            "storageClassName": "fast",
                            "resources": {"requests": {"storage": "500Gi"}},
                        }
                    }
                }
            },
            id="a volume for each pod",
        ),
    ],
)
def test_the_cache_has_one_of_three_places(cache: Manifest, expected: Manifest) -> None:
    volumes = {each["name"]: each for each in worker(DEFAULT, stores={"cache": cache})["volumes"]}
    assert volumes["cache"] == {"name": "cache"} | expected


def test_a_cache_on_the_pods_disk_evicts_before_the_kubelet_does() -> None:
    pool = DEFAULT | {"resources": {"ephemeralStorage": "100Gi"}}
    spec = worker(pool, stores={"cache": {"sizeLimit": "200Gi"}})
    limits = [each["emptyDir"]["sizeLimit"] for each in spec["volumes"] if each["name"] == "cache"]
    found = variables(spec["containers"][0])
    own = int(found["SLIPWAY_STORAGE_CACHE_MAX_BYTES"]) + int(found["SLIPWAY_STORAGE_ADAPTER_CACHE_MAX_BYTES"])
    assert own < int(limits[0]) < 90 * 2**30


def test_open_requests_have_time_to_end() -> None:
    spec = worker(DEFAULT, drain={"graceSeconds": 300})
    command = spec["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    assert command == ["slipway", "node", "drain", "--seconds=300"]
    assert spec["terminationGracePeriodSeconds"] > 300
    assert ray_service(drain={"graceSeconds": 300})["spec"]["rayClusterDeletionDelaySeconds"] == 300


@pytest.mark.parametrize(
    ("upgrade", "strategy", "expected"),
    [
        pytest.param({}, Strategy.IN_PLACE, {"type": "None"}, id="in place"),
        pytest.param({}, Strategy.INCREMENTAL, {"type": "None"}, id="nothing moves the traffic"),
        pytest.param(
            {"gatewayClass": "envoy", "stepPercent": 10, "intervalSeconds": 5, "maxSurgePercent": 50},
            Strategy.INCREMENTAL,
            {
                "type": "NewClusterWithIncrementalUpgrade",
                "clusterUpgradeOptions": {
                    "gatewayClassName": "envoy",
                    "stepSizePercent": 10,
                    "intervalSeconds": 5,
                    "maxSurgePercent": 50,
                },
            },
            id="in steps",
        ),
    ],
)
def test_kuberay_is_told_how_to_upgrade(upgrade: Manifest, strategy: Strategy, expected: Manifest) -> None:
    assert ray_service(strategy=strategy, upgrade=upgrade)["spec"]["upgradeStrategy"] == expected


def test_the_platforms_parts_run_on_the_first_pool_without_gpus() -> None:
    pools = [{"name": "h200", "gpusPerNode": 8}, {"name": "small", "cpu": True}, {"name": "other"}]
    config = json.loads(ray_service(model(), pools=pools)["spec"]["serveConfigV2"])
    parts = {app["name"]: app["deployments"][0]["ray_actor_options"] for app in config["applications"]}
    assert {options["resources"].popitem() for options in parts.values()} == {("pool_small", 0.001)}


def test_one_application_has_one_line() -> None:
    lines = ray_service(model("a", placement={"pool": "default"}), model("b"))["spec"]["serveConfigV2"].splitlines()
    assert [line for line in lines if '"model-a"' in line] != [line for line in lines if '"model-b"' in line]
    assert len(lines) == len(["head", "gateway", "runner", "ledger", "operations", "a", "b", "end"])


def test_a_model_with_a_fatal_problem_is_left_out() -> None:
    text = ray_service(model("good"), model("lost", placement={"pool": "nowhere"}))["spec"]["serveConfigV2"]
    assert '"model-good"' in text
    assert "lost" not in text


def test_a_model_that_is_deleted_is_left_out() -> None:
    going = Resource(model(), uid="m", is_deleting=True)
    world = World("models", "default", platform=Resource(platform(), uid="u"), models=(going,))
    assert "model-" not in desired_objects(world, Strategy.IN_PLACE)[0]["spec"]["serveConfigV2"]
