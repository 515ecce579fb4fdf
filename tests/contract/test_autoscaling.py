"""How many replicas a backlog asks for."""

import pytest

autoscaling = pytest.importorskip("deployments.autoscaling", reason="Ray is not installed")


@pytest.mark.parametrize(
    ("load", "backlog_seconds", "wanted"),
    [
        pytest.param(0.0, 0.0, 0, id="nothing to do"),
        pytest.param(0.1, 0.0, 1, id="a little work"),
        pytest.param(1.0, 0.0, 1, id="one replica is full, nobody waits"),
        pytest.param(1.0, 1.9, 1, id="a wait within the target"),
        pytest.param(1.0, 6.5, 4, id="three targets of waiting want three more"),
        pytest.param(2.5, 0.0, 3, id="work of two and a half replicas"),
    ],
)
def test_the_wanted_replicas(load: float, backlog_seconds: float, wanted: int) -> None:
    assert autoscaling.wanted_replicas(load, backlog_seconds, target_wait_seconds=2) == wanted
