"""Whether there is room for a second cluster beside the first, pool by pool.

While traffic moves, the new cluster has room for `maxSurgePercent` of the work, and at least one replica of every
model: Ray rounds a share of one replica up to one. Without that room neither gets on, and GPUs are held twice.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from operators.planning.arranging import Bounds
from operators.planning.sight import Cluster
from serve.domain.documents import ModelDocument
from serve.domain.platform import PlatformSpec, Pool
from serve.domain.quantities import quantity


@dataclass(frozen=True, slots=True)
class Shortfall:
    """A pool without room."""

    pool: str
    in_use: int
    """Nodes."""
    need: int
    """Nodes more, for as long as the upgrade lasts."""
    room: int

    def __str__(self) -> str:
        return (
            f"the pool {self.pool} has {self.in_use} nodes in use, needs {self.need} more beside them, and may have "
            f"{self.room} more (maxNodes + surgeNodes)"
        )


def limit(pool: Pool) -> int:
    """Nodes that a pool may have while the cluster is upgraded."""
    return pool.max_nodes + pool.surge_nodes


def shortfalls(spec: PlatformSpec, models: Sequence[ModelDocument], cluster: Cluster) -> list[Shortfall]:
    """The pools in which a second cluster finds no room beside `cluster`; none: there is room."""
    found = []
    for pool in spec.pools:
        in_use = cluster.nodes(pool.name)
        need = _need(spec, pool, models, in_use)
        room = limit(pool) - in_use
        if need > room:
            found.append(Shortfall(pool.name, in_use, need, max(room, 0)))
    return found


def _need(spec: PlatformSpec, pool: Pool, models: Iterable[ModelDocument], in_use: int) -> int:
    if not in_use:
        return 0
    share = math.ceil(in_use * spec.upgrade.max_surge_percent / 100)
    return min(in_use, max(share, _nodes_of_one_each(spec, pool, models), 1))


def _nodes_of_one_each(spec: PlatformSpec, pool: Pool, models: Iterable[ModelDocument]) -> int:
    """Nodes that one replica of every model takes, and one of each part of the platform, packed without gaps."""
    placements = [model.spec.placement for model in models if model.spec.placement.pool == pool.name]
    if pool.gpus_per_node:
        return math.ceil(sum(placement.gpus for placement in placements) / pool.gpus_per_node)
    parts = 1 if pool.name == spec.parts_pool.name else 0
    cpus = float(quantity(pool.resources.cpu) or 1)
    return max(math.ceil(sum(placement.cpus for placement in placements) / cpus), parts)


def cap(spec: PlatformSpec, elsewhere: Sequence[Cluster]) -> dict[str, Bounds]:
    """What a cluster may have of each pool while `elsewhere` holds the rest: with it, never more than the limit."""
    bounds = {}
    for pool in spec.pools:
        taken = sum(max(cluster.nodes(pool.name), _may_have(cluster, pool.name)) for cluster in elsewhere)
        maximum = max(min(pool.max_nodes, limit(pool) - taken), 0)
        bounds[pool.name] = Bounds(min(pool.min_nodes, maximum), maximum)
    return bounds


def frozen(cluster: Cluster) -> dict[str, Bounds]:
    """Bounds under which a cluster keeps the nodes it has, gets none more, and none again that it gave up."""
    bounds = {}
    for name, group in cluster.groups.items():
        maximum = min(_may_have(cluster, name), cluster.nodes(name))
        bounds[name] = Bounds(min(int(group.get("minReplicas") or 0), maximum), maximum)
    return bounds


def _may_have(cluster: Cluster, pool: str) -> int:
    return int(cluster.groups.get(pool, {}).get("maxReplicas") or 0)
