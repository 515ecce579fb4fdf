"""The policies that are compared: ours, and Ray Serve's own code on the simulation's clock."""

from collections import deque
from collections.abc import Callable

import ray.serve.autoscaling_policy as ray_policy
from ray.serve.config import AutoscalingConfig, AutoscalingContext

from benchmarks.scaling_demand import Demand
from benchmarks.scaling_fleet import ModelNow, Policy
from serve.serving.scaling import Bounds, Observation, ScalingPolicy

IDLE_SECONDS = 600.0
"""Until the last replica goes: Ray's default, and ours."""


class Ours:
    """`serve.serving.scaling`, as the controller asks it: at zero Ray itself starts one replica, for us too."""

    def __init__(self, target_wait_seconds: float, maximum: int) -> None:
        bounds = Bounds(0, maximum, target_wait_seconds, IDLE_SECONDS)
        self._policy = ScalingPolicy(bounds)

    def replicas(self, model: ModelNow) -> int:
        """See Policy."""
        if not model.running:
            return max(1, model.wanted) if model.ongoing > 0 else model.wanted
        return self._policy.decide(
            Observation(
                model.now,
                model.running,
                model.wanted,
                model.load,
                model.backlog_seconds,
                model.inflow,
                model.start_seconds,
            )
        ).replicas


class _Clock:
    """In the place of the module `time` that Ray's policy reads."""

    now = 0.0

    def time(self) -> float:
        return self.now


_CLOCK = _Clock()


class RayDefault:
    """Ray Serve's default policy: calls that are ongoing, over a target for each replica, with its delays."""

    def __init__(self, target_ongoing: float, maximum: int, delays: dict[str, float]) -> None:
        ray_policy.time = _CLOCK  # type: ignore[assignment]  # its delays must pass in simulated seconds
        self._config = AutoscalingConfig(
            min_replicas=0, max_replicas=maximum, target_ongoing_requests=target_ongoing, **delays
        )
        self._policy = ray_policy._apply_autoscaling_config(ray_policy._core_replica_queue_length_policy)
        self._state: dict[str, object] = {}
        self._ongoing: deque[float] = deque(maxlen=max(1, round(self._config.look_back_period_s / 5)))

    def replicas(self, model: ModelNow) -> int:
        """See Policy. The number of calls is a mean over the look-back period, as Ray has it."""
        _CLOCK.now = model.now
        self._ongoing.append(model.ongoing)
        context = AutoscalingContext(
            deployment_id=None,  # type: ignore[arg-type]  # nothing of the policy asks who it is
            deployment_name="replica",
            app_name="model",
            current_num_replicas=model.running,
            target_num_replicas=model.wanted,
            running_replicas=[],
            total_num_requests=sum(self._ongoing) / len(self._ongoing),
            total_queued_requests=None,
            aggregated_metrics=None,
            raw_metrics=None,
            capacity_adjusted_min_replicas=0,
            capacity_adjusted_max_replicas=self._config.max_replicas,
            policy_state=dict(self._state),
            last_scale_up_time=None,
            last_scale_down_time=None,
            current_time=model.now,
            config=self._config,
        )
        wanted, self._state = self._policy(context)
        return min(int(wanted), self._config.max_replicas)


def policies(demand: Demand, num_gpus: int, target_wait_seconds: float) -> dict[str, Callable[[int], Policy]]:
    """By name: what makes a policy for a model of `demand`. Ray's are told the places of each model's replicas."""
    quick = {"upscale_delay_s": 1.0, "look_back_period_s": 5.0}

    def ray(share: float, delays: dict[str, float]) -> Callable[[int], Policy]:
        return lambda index: RayDefault(share * float(demand.places[index]), num_gpus, delays)

    return {
        "slipway": lambda index: Ours(target_wait_seconds, num_gpus),
        "ray_default": ray(1.0, {}),
        "ray_quick": ray(0.8, quick),
        "ray_quick_and_saving": ray(
            0.8, quick | {"downscale_delay_s": 60.0, "downscale_to_zero_delay_s": IDLE_SECONDS}
        ),
    }
