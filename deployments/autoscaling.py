"""How many replicas a model should have: the policy that runs in Serve's controller, several times a second."""

import math
from typing import Any

from ray.serve.config import AutoscalingContext

BACKLOG_METRIC = "backlog_seconds"
LOAD_METRIC = "load"


class BacklogPolicy:
    """Enough replicas that what waits is admitted within `target_wait_seconds`, and no more than work asks for.

    Replicas report two numbers of their own: `load`, the share of their places taken, and `backlog_seconds`, the
    predicted seconds until what waits is admitted. A shared backlog must not be reported: it would be multiplied.
    """

    def __init__(self, target_wait_seconds: float) -> None:
        self._target_wait_seconds = target_wait_seconds

    def __call__(self, ctx: AutoscalingContext) -> tuple[int, dict[str, Any]]:
        """(wanted replicas, state to keep)."""
        if not ctx.current_num_replicas:
            return (1 if ctx.total_num_requests > 0 else 0), {}
        metrics = ctx.aggregated_metrics or {}
        load = sum(metrics.get(LOAD_METRIC, {}).values())
        backlog = sum(metrics.get(BACKLOG_METRIC, {}).values())
        return wanted_replicas(load, backlog, self._target_wait_seconds), {}


def wanted_replicas(load: float, backlog_seconds: float, target_wait_seconds: float) -> int:
    """Replicas for `load` (in replicas' worth of running work) and a backlog of one replica's seconds.

    The backlog counts by how many times it exceeds the target: three targets' worth of waiting wants three more.
    """
    return math.ceil(load - 1e-6) + math.floor(backlog_seconds / target_wait_seconds)
