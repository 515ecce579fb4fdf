"""PodDisruptionBudgets: how many of a platform's pods a node's drain may take at once.

The pods' controller is KubeRay's, which has no scale subresource, so a budget says a number of pods that stay.
"""

from operators.desired.metadata import Owner, object_metadata
from operators.state import LABEL_PLATFORM, LABEL_POOL, Manifest


def disruption_budgets(owner: Owner, namespace: str) -> list[Manifest]:
    """One for each pool that keeps several nodes, and one for a head that nothing survives.

    With fault tolerance the head may move: its state is elsewhere, and replicas go on meanwhile.
    """
    spec = owner.document.spec
    budgets = [
        _budget(owner, namespace, f"{owner.name}-{pool.name}", {LABEL_POOL: pool.name}, pool.min_nodes - 1)
        for pool in spec.pools
        if pool.min_nodes >= 2
    ]
    if spec.ray.fault_tolerance is None:
        budgets.append(_budget(owner, namespace, f"{owner.name}-ray-head", {"ray.io/node-type": "head"}, 1))
    return budgets


def _budget(owner: Owner, namespace: str, name: str, labels: dict[str, str], minimum: int) -> Manifest:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": object_metadata(owner, namespace, name, "ray"),
        "spec": {
            "minAvailable": minimum,
            "selector": {"matchLabels": {LABEL_PLATFORM: owner.name, **labels}},
            # Pods without a proxy are never ready; they must not keep a node from being drained.
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }
