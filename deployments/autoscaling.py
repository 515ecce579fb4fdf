"""The scaling policy where Ray asks for it: in Serve's controller, several times a second for every model.

Replicas report numbers of their own: `load`, the share of their places that are taken, `backlog_seconds`, the predicted
seconds until what waits has a place, and `inflow`, the replica-seconds of work that arrive each second. A number that
replicas share must not be reported: the sum would multiply it.

Facts about Ray 2.60 that this module hides: while a model has no replica, Ray itself starts one for what is queued at
the callers, and the policy is not asked; what the policy answers is delayed by Ray's own timers, which the
configuration therefore sets to almost nothing, since the policy holds on by itself.
"""

import logging
import time
from typing import Any

from ray.serve.config import AutoscalingContext
from ray.util.metrics import Counter, Gauge

from serve.serving.scaling import Bounds, Decision, Observation, ScalingPolicy

BACKLOG_METRIC = "backlog_seconds"
LOAD_METRIC = "load"
INFLOW_METRIC = "inflow"
START_METRIC = "start_seconds"

logger = logging.getLogger("ray.serve.slipway.autoscaling")
"""Under Serve's own logger, whose file the controller writes."""


class BacklogPolicy:
    """One model's policy. Ray makes it once, and calls it for as long as the application lives."""

    def __init__(self, model: str, **bounds: float) -> None:
        """`bounds` are the fields of `serve.serving.scaling.Bounds`."""
        whole = {name: int(value) for name, value in bounds.items() if name in ("minimum", "maximum", "buffer")}
        self._policy = ScalingPolicy(Bounds(**{**bounds, **whole}))  # type: ignore[arg-type]  # the rest are seconds
        self._model = model
        self._last: int | None = None
        tags = {"model": model}
        self._wanted = Gauge("slipway_autoscaling_wanted_replicas", "Asked for", tag_keys=("model",))
        self._inflow = Gauge("slipway_autoscaling_inflow", "Replicas' work that arrives", tag_keys=("model",))
        self._backlog = Gauge("slipway_autoscaling_backlog_seconds", "Replica-seconds waiting", tag_keys=("model",))
        self._changes = Counter("slipway_autoscaling_decisions", "Changes", tag_keys=("model", "direction"))
        for series in (self._wanted, self._inflow, self._backlog, self._changes):
            series.set_default_tags(tags)

    def __call__(self, ctx: AutoscalingContext) -> tuple[int, dict[str, Any]]:
        """(wanted replicas, no state: it is kept here)."""
        seen = observation(ctx)
        decision = self._policy.decide(seen)
        self._tell(seen, decision)
        return decision.replicas, {}

    def _tell(self, seen: Observation, decision: Decision) -> None:
        """Changes are told with their reason; what stays as it is would fill the log."""
        if decision.replicas == self._last:
            return
        before = seen.wanted if self._last is None else self._last
        self._last = decision.replicas
        self._wanted.set(decision.replicas)
        self._inflow.set(seen.inflow)
        self._backlog.set(seen.backlog_seconds)
        if decision.replicas != before:
            self._changes.inc(1, {"direction": "up" if decision.replicas > before else "down"})
            logger.info("model %s: %d -> %d replicas: %s", self._model, before, decision.replicas, decision.reason)


def observation(ctx: AutoscalingContext) -> Observation:
    """What Ray has collected from the replicas, added up."""
    metrics = ctx.aggregated_metrics or {}
    starts = metrics.get(START_METRIC, {}).values()
    return Observation(
        now=time.monotonic(),
        replicas=ctx.current_num_replicas,
        wanted=ctx.target_num_replicas,
        load=sum(metrics.get(LOAD_METRIC, {}).values()),
        backlog_seconds=sum(metrics.get(BACKLOG_METRIC, {}).values()),
        inflow=sum(metrics.get(INFLOW_METRIC, {}).values()),
        start_seconds=max(starts, default=0.0),
    )
