"""Whether the RayService is one that a cluster can keep: all models are in it, and etcd has a limit."""

import json
from collections.abc import Sequence

from operators.state import Manifest, ObjectKey, Problem, World
from serve.domain.documents import API_VERSION

TOO_LARGE = "RayServiceTooLarge"
WARNED_BYTES = 1_000_000
MOST_BYTES = 1_250_000
"""etcd takes 1.5 MiB. KubeRay's status, a line for each application, and the record of owned fields come on top."""


def size_problems(world: World, desired: Sequence[Manifest]) -> tuple[Problem, ...]:
    """A warning to the Platform while there is still room; fatal where there is none."""
    if world.platform is None:
        return ()
    key = ObjectKey(API_VERSION, "Platform", world.platform.name)
    told = "Move models to a Platform in another namespace, or shorten what their cards say."
    for size in (len(json.dumps(one).encode()) for one in desired if one["kind"] == "RayService"):
        said = f"The RayService of {len(world.models)} models has {size:,} bytes, and it may have {MOST_BYTES:,}."
        if size > MOST_BYTES:
            return (Problem(key, TOO_LARGE, f"{said} Ray stays as it is until it has less. {told}"),)
        if size > WARNED_BYTES:
            return (Problem(key, "RayServiceLarge", f"{said} {told}", is_fatal=False),)
    return ()


def storable(desired: Sequence[Manifest], found: Sequence[Problem]) -> tuple[Manifest, ...]:
    """What can be written: a RayService that is too large stays as it is."""
    return tuple(one for one in desired if one["kind"] != "RayService" or not is_held(found))


def is_held(found: Sequence[Problem]) -> bool:
    """Whether the RayService stays as it is."""
    return any(problem.reason == TOO_LARGE for problem in found)
