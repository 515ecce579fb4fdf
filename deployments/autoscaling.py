"""The scaling policy where Ray asks for it: in Serve's controller, several times a second for every model.

Replicas report numbers of their own: `load`, the share of their places that are taken, `backlog_seconds`, the predicted
seconds until what waits has a place, and `inflow`, the replica-seconds of work that arrive each second. A number that
replicas share must not be reported: the sum would multiply it.

Facts about Ray 2.60 that this module hides: while a model has no replica, Ray itself starts one for what is queued at
the callers, and the policy is not asked; this module is sent to the controller by value, and the policy again with
every replica that is made, so neither holds anything of its process; what the policy answers is delayed by Ray's own
timers, which the configuration therefore sets to almost nothing, since the policy holds on by itself.
"""

import logging
import time
from typing import Any

from ray.serve.config import AutoscalingContext

from deployments.metric_export import export
from deployments.scaling_changes import tell_change
from serve.domain.serving import ScalingChange
from serve.serving.scaling import Bounds, Decision, Observation, ScalingPolicy
from serve.telemetry import series
from serve.telemetry.recording import Recorder

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
        self._recorder = Recorder()

    def __call__(self, ctx: AutoscalingContext) -> tuple[int, dict[str, Any]]:
        """(wanted replicas, no state: it is kept here)."""
        seen = observation(ctx)
        decision = self._policy.decide(seen)
        self._tell(seen, decision)
        return decision.replicas, {}

    def _tell(self, seen: Observation, decision: Decision) -> None:
        """Changes are told with their reason; what stays as it is would fill the log."""
        export(self._recorder)
        for declared, value in (
            (series.WANTED_REPLICAS, decision.replicas),
            (series.INFLOW, seen.inflow),
            (series.SCALING_BACKLOG, seen.backlog_seconds),
            (series.SCALING_LOAD, seen.load),
        ):
            self._recorder.level(declared, self._model).set(value)
        if decision.replicas == self._last:
            return
        before = seen.wanted if self._last is None else self._last
        self._last = decision.replicas
        if decision.replicas != before:
            direction = "up" if decision.replicas > before else "down"
            self._recorder.count(series.SCALING_DECISIONS, self._model, direction).inc()
            logger.info("model %s: %d -> %d replicas: %s", self._model, before, decision.replicas, decision.reason)
            now_ms = round(time.time() * 1000)
            tell_change(self._model, ScalingChange(now_ms, before, decision.replicas, decision.reason))


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
