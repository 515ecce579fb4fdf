"""What one pass does, and why."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from operators.planning.children import apply_actions, delete_actions, taken_names
from operators.planning.outcome import Event, Upgrade, UpgradeState
from operators.planning.upgrades import choose_strategy, upgrade
from operators.state import Action, Manifest, ObjectKey, Problem, World

__all__ = ["Event", "Plan", "UpgradeState", "choose_strategy", "plan"]


@dataclass(frozen=True, slots=True)
class Plan:
    """Actions in the order in which they are done, events, and how the upgrade is."""

    actions: tuple[Action, ...] = ()
    events: tuple[Event, ...] = ()
    upgrade: UpgradeState = field(default_factory=UpgradeState)


def plan(desired: Sequence[Manifest], world: World, problems: Sequence[Problem], now: datetime) -> Plan:
    """What brings the cluster nearer to `desired`. A plan without actions means: nothing, until something changes or
    time has passed."""
    platform = world.platform
    if platform is None or platform.is_deleting:
        return Plan()
    about = ObjectKey(platform.document.api_version, "Platform", platform.name)
    wanted, ray = list(desired), None
    for index, manifest in enumerate(wanted):
        if manifest["kind"] == "RayService":
            ray = upgrade(manifest, world, platform.document, now)
            wanted[index] = ray.service
    live = world.live.objects
    events = [
        *(Event(problem.key, problem.reason, problem.message, is_warning=True) for problem in problems),
        *taken_names(wanted, live, platform.uid, about),
        *(ray.events if ray else ()),
    ]
    actions = [
        *apply_actions(wanted, live, platform.uid),
        *_cluster_actions(ray),
        *delete_actions(wanted, live, platform.uid),
    ]
    return Plan(tuple(actions), tuple(events), ray.state if ray else UpgradeState())


def _cluster_actions(ray: Upgrade | None) -> tuple[Action, ...]:
    return ray.actions if ray is not None else ()
