"""(Platform, Models) -> Ray Serve's configuration. Pure.

The same function serves one machine, where the result is PUT to Ray's REST API, and a cluster, where it becomes a
RayService's `serveConfigV2`. One application per model, since an application is what Ray upgrades as a unit. What
can change without a restart travels in `user_config` as a name and a digest; replicas fetch the content.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from serve.domain.documents import API_VERSION, Engine, ModelDocument, ModelSpec, Queue
from serve.domain.platform import PlatformDocument
from serve.domain.quantities import whole
from serve.domain.task import Family

GATEWAY_APP = "gateway"
RUNNER_APP = "runner"
LEDGER_APP = "ledger"
LEDGER_DEPLOYMENT = "ledger"
OPERATIONS_APP = "operations"
OPERATIONS_DEPLOYMENT = "operations"
MODEL_APP_PREFIX = "model-"
POOL_RESOURCE_AMOUNT = 1000
"""What each node of a pool has of the pool's resource. Whatever runs there takes a thousandth of one."""
_POOL_SHARE = 0.001
REPLICA_DEPLOYMENT = "replica"
"""Every model application has one deployment with replicas, of this name, whatever its family."""
ENTRY_DEPLOYMENT = "entry"
"""And one without, which Ray asks for: see `deployments.entry`."""

IMPORT_PATHS: dict[Family, str] = {
    Family.LLM: "deployments.llm:build",
    Family.TEXT_TO_IMAGE: "deployments.text_to_image:build",
    Family.IMAGE_TO_IMAGE: "deployments.image_to_image:build",
}

_SUPERVISION = {
    "health_check_period_s": 5,
    # Three failures in a row replace a replica: a wedged engine is gone in under a minute.
    "health_check_timeout_s": 15,
    "graceful_shutdown_timeout_s": 20,
}
"""Of every deployment, in seconds."""

_LEDGER_BATCHES = 1024
"""Batches that one ledger has in its hands: one of every process with a journal. Those that wait share a commit."""

OPERATIONS_QUEUE = Queue(max_waiting=512, max_waiting_per_tenant=256, max_wait_seconds=60)
"""In front of one replica that works on pictures. A run that is refused asks again."""


@dataclass(frozen=True, slots=True)
class Listener:
    """Where the proxies listen."""

    host: str
    port: int
    every_node: bool = True


def default_platform() -> PlatformDocument:
    """The platform of one machine: every default."""
    return PlatformDocument.model_validate(
        {"apiVersion": API_VERSION, "kind": "Platform", "metadata": {"name": "slipway"}}
    )


def pool_resource(pool: str) -> str:
    """Ray's custom resource that the nodes of a pool have, and those of no other."""
    return f"pool_{pool}"


def model_app(model: str) -> str:
    """The application's name of a model."""
    return f"{MODEL_APP_PREFIX}{model}"


def serve_config(platform: PlatformDocument, models: Sequence[ModelDocument], listener: Listener) -> dict[str, Any]:
    """The whole configuration; equal documents give equal results, whatever their order."""
    ordered = sorted(models, key=lambda document: document.name)
    return {
        "proxy_location": "EveryNode" if listener.every_node else "HeadOnly",
        "http_options": {"host": listener.host, "port": listener.port},
        "logging_config": {"encoding": "JSON", "enable_access_log": False},
        "applications": [
            _gateway(platform, ordered),
            _runner(platform),
            _ledger(platform),
            _operations(platform),
            *(_model(document) for document in ordered),
        ],
    }


def _gateway(platform: PlatformDocument, models: Iterable[ModelDocument]) -> dict[str, Any]:
    spec = platform.spec.gateway
    return {
        "name": GATEWAY_APP,
        "route_prefix": "/",
        "import_path": "deployments.gateway:build",
        "args": {},
        "deployments": [
            {
                "name": "gateway",
                **_replicas(spec.min_replicas, spec.max_replicas, target_ongoing=spec.max_ongoing_requests / 4),
                "max_ongoing_requests": spec.max_ongoing_requests,
                "ray_actor_options": _part_options(platform, 0.1),
                **_SUPERVISION,
                "user_config": {"catalog": _catalog_digest(models)},
            }
        ],
    }


def _part_options(platform: PlatformDocument, cpus: float) -> dict[str, Any]:
    """Where the platform's own parts run: by its resource, on the pool for them."""
    return {"num_cpus": cpus, "resources": {pool_resource(platform.spec.parts_pool.name): _POOL_SHARE}}


def _replicas(minimum: int, maximum: int, target_ongoing: float) -> dict[str, Any]:
    if minimum == maximum:
        return {"num_replicas": minimum}
    return {
        "autoscaling_config": {
            "min_replicas": minimum,
            "max_replicas": maximum,
            "target_ongoing_requests": target_ongoing,
        }
    }


def _catalog_digest(models: Iterable[ModelDocument]) -> str:
    """Changes whenever any card does, and so tells the gateways to read the catalogue anew."""
    listing = json.dumps([[document.name, document.digest()] for document in models])
    return hashlib.sha256(listing.encode()).hexdigest()


def _runner(platform: PlatformDocument) -> dict[str, Any]:
    spec = platform.spec.runner
    return {
        "name": RUNNER_APP,
        "route_prefix": None,
        "import_path": "deployments.runner:build",
        "args": {"max_concurrency": spec.max_concurrency},
        "deployments": [
            {
                "name": "runner",
                "num_replicas": spec.replicas,
                "ray_actor_options": _part_options(platform, 0.1),
                **_SUPERVISION,
            }
        ],
    }


def _ledger(platform: PlatformDocument) -> dict[str, Any]:
    return {
        "name": LEDGER_APP,
        "route_prefix": None,
        "import_path": "deployments.ledger:build",
        "args": {},
        "deployments": [
            {
                "name": LEDGER_DEPLOYMENT,
                "num_replicas": platform.spec.ledger.replicas,
                "max_ongoing_requests": _LEDGER_BATCHES,
                "ray_actor_options": _part_options(platform, 0.1),
                **_SUPERVISION,
            }
        ],
    }


def _operations(platform: PlatformDocument) -> dict[str, Any]:
    spec = platform.spec.operations
    return {
        "name": OPERATIONS_APP,
        "route_prefix": None,
        "import_path": "deployments.operations:build",
        "args": {"max_concurrency": spec.max_concurrency},
        "deployments": [
            {
                "name": OPERATIONS_DEPLOYMENT,
                "num_replicas": spec.replicas,
                # Its own queue refuses with a reason, so Ray must not hold calls back before it.
                "max_ongoing_requests": 2 * (spec.max_concurrency + OPERATIONS_QUEUE.max_waiting),
                "ray_actor_options": _part_options(platform, spec.cpus),
                **_SUPERVISION,
            }
        ],
    }


def _model(document: ModelDocument) -> dict[str, Any]:
    spec = document.spec
    return {
        "name": model_app(document.name),
        "route_prefix": None,
        "import_path": IMPORT_PATHS[spec.family],
        "args": {"name": document.name, "build": build_digest(spec)},
        "deployments": [
            {
                "name": REPLICA_DEPLOYMENT,
                **_scaling(document),
                **_placement(spec),
                "max_ongoing_requests": max_ongoing_requests(spec),
                "max_queued_requests": -1,
                "request_router_config": _routing(spec),
                **_SUPERVISION,
                "user_config": {"name": document.name, "digest": document.digest()},
            }
        ],
    }


def build_digest(spec: ModelSpec) -> str:
    """Covers what needs new replicas when it changes: weights, engine, and what an engine sets aside for adapters.
    Cards, queues and scaling do not."""
    parts = spec.model_dump(mode="json", include={"family", "weights", "engine"})
    if spec.adapters.enabled:
        parts["adapters"] = spec.adapters.model_dump(mode="json", include={"max_rank", "max_resident", "max_host"})
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def max_ongoing_requests(spec: ModelSpec) -> int:
    """Running and waiting calls of one replica, with room for the refusals: the replica itself says no, with a reason,
    so Ray must not hold calls back before it."""
    return 2 * (engine_capacity(spec.engine) + spec.queue.max_waiting) + 64


def engine_capacity(engine: Engine) -> int:
    """Calls that one replica runs at the same time."""
    return engine.max_concurrency


def _scaling(document: ModelDocument) -> dict[str, Any]:
    spec = document.spec
    scaling = spec.scaling
    if scaling.replicas is not None:
        return {"num_replicas": scaling.replicas}
    if scaling.min_replicas == scaling.max_replicas:
        return {"num_replicas": scaling.min_replicas}
    return {
        "autoscaling_config": {
            "min_replicas": scaling.min_replicas,
            "max_replicas": scaling.max_replicas,
            "target_ongoing_requests": engine_capacity(spec.engine),
            # The policy holds on to replicas by itself; Ray's own timers would only come on top.
            "upscale_delay_s": 0.5,
            "downscale_delay_s": 1.0,
            "metrics_interval_s": 1.0,
            "look_back_period_s": 5.0,
            "policy": {
                "policy_function": "deployments.autoscaling:BacklogPolicy",
                "policy_kwargs": {
                    "model": document.name,
                    "minimum": scaling.min_replicas,
                    "maximum": scaling.max_replicas,
                    "target_wait_seconds": scaling.target_wait_seconds,
                    "idle_seconds": scaling.idle_seconds,
                    "buffer": scaling.buffer_replicas,
                },
            },
        }
    }


def _routing(spec: ModelSpec) -> dict[str, Any]:
    """Who chooses a call's replica, in the processes that call. Replicas that cache adapters say more often what they
    hold; a router's own routes cover the time between."""
    return {
        "request_router_class": "deployments.routing.AdapterRouter",
        "request_router_kwargs": {
            "num_places": engine_capacity(spec.engine),
            "max_adapters": spec.adapters.max_host,
        },
        "request_routing_stats_period_s": 2.0 if spec.adapters.enabled else 10.0,
    }


def _placement(spec: ModelSpec) -> dict[str, Any]:
    """Where a replica runs. The actor itself holds its GPUs, several too: Ray shows it those and no others, and vLLM's
    tensor-parallel processes inherit the sight. Bundles of one GPU each would leave it with all of the node's."""
    placement = spec.placement
    pool = {pool_resource(placement.pool): _POOL_SHARE}
    options: dict[str, Any] = {"num_cpus": placement.cpus, "num_gpus": placement.gpus, "resources": pool}
    bundle: dict[str, float] = {"CPU": placement.cpus, "GPU": placement.gpus} | pool
    if placement.memory is not None:
        options["memory"] = bundle["memory"] = whole(placement.memory)
    if placement.gpus <= 1:
        return {"ray_actor_options": options}
    group = {"placement_group_bundles": [bundle], "placement_group_strategy": "STRICT_PACK"}
    return {"ray_actor_options": options, **group}
