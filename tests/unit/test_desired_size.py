"""All models are in one object, and a cluster keeps no object of any size."""

import pytest
from fakes.documents import platform

from operators.desired.size import MOST_BYTES, WARNED_BYTES, size_problems, storable
from operators.state import Manifest, Resource, World

WORLD = World("models", "default", platform=Resource(platform(), uid="uid"))
SERVICE = {"kind": "Service", "spec": "x" * MOST_BYTES}


def ray_service(num_bytes: int) -> Manifest:
    return {"kind": "RayService", "spec": {"serveConfigV2": "x" * num_bytes}}


@pytest.mark.parametrize(
    ("num_bytes", "reasons", "kinds"),
    [
        (WARNED_BYTES - 100, [], ["RayService", "Service"]),
        (WARNED_BYTES, [("RayServiceLarge", False)], ["RayService", "Service"]),
        (MOST_BYTES, [("RayServiceTooLarge", True)], ["Service"]),
    ],
    ids=["room", "little room", "none"],
)
def test_a_ray_service_that_grows_too_large_is_told_of_and_then_stays_as_it_is(
    num_bytes: int, reasons: list[tuple[str, bool]], kinds: list[str]
) -> None:
    desired = (ray_service(num_bytes), SERVICE)
    found = size_problems(WORLD, desired)
    assert [(problem.reason, problem.is_fatal) for problem in found] == reasons
    assert [manifest["kind"] for manifest in storable(desired, found)] == kinds
