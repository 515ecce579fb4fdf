"""Models on several GPUs, as far as a machine without any allows: Ray is told that there are four."""

import json
import subprocess
import sys
import tempfile

import pytest
from fakes.platform import echo_document

from serve.domain.documents import ModelDocument
from serve.serving.serve_config import Listener, default_platform, model_app, serve_config

TWO_REPLICAS = """
import json, os, sys
import ray
from ray.serve._private.config import ReplicaConfig
from ray.util.placement_group import placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

wanted = json.loads(sys.argv[1])
group = {name: wanted[name] for name in ("placement_group_bundles", "placement_group_strategy")}
ReplicaConfig.create(type("Replica", (), {}), ray_actor_options=dict(wanted["ray_actor_options"]), **group)
ray.init(
    num_cpus=2, num_gpus=4, resources={"pool_default": 1}, include_dashboard=False, log_to_driver=False,
    object_store_memory=80 * 2**20, _temp_dir=sys.argv[2],
)

@ray.remote
class Replica:
    def gpus(self):
        return os.environ.get("CUDA_VISIBLE_DEVICES")

replicas = []
for _ in range(2):
    placed = placement_group(group["placement_group_bundles"], strategy=group["placement_group_strategy"])
    ray.get(placed.ready(), timeout=30)
    strategy = PlacementGroupSchedulingStrategy(placed, placement_group_bundle_index=0)
    replicas.append(Replica.options(scheduling_strategy=strategy, **wanted["ray_actor_options"]).remote())
print(json.dumps(ray.get([replica.gpus.remote() for replica in replicas], timeout=60)))
ray.shutdown()
"""


@pytest.mark.long
def test_every_replica_on_two_gpus_sees_its_own_two() -> None:
    model = ModelDocument.model_validate(echo_document("wide", placement={"gpus": 2, "cpus": 0.5}))
    applications = serve_config(default_platform(), [model], Listener("127.0.0.1", 8000))["applications"]
    (wanted,) = next(app["deployments"] for app in applications if app["name"] == model_app("wide"))
    # Ray's sockets live under its folder, and their paths are short or do not work.
    with tempfile.TemporaryDirectory(prefix="slw-", dir="/tmp") as folder:
        done = subprocess.run(
            [sys.executable, "-c", TWO_REPLICAS, json.dumps(wanted), folder],
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
    assert done.returncode == 0, done.stderr[-4000:]
    seen = [set(gpus.split(",")) for gpus in json.loads(done.stdout.splitlines()[-1])]
    assert [len(gpus) for gpus in seen] == [2, 2]
    assert len(set.union(*seen)) == 4
