"""What is named by a string resolves: Ray, and our own subprocesses, would only find out at run time."""

import importlib
import pickle

import pytest

from serve.cli import local_ray
from serve.domain.task import Family
from serve.serving.serve_config import IMPORT_PATHS
from serve.settings import Settings
from serve.telemetry import series

ray = pytest.importorskip("ray", reason="Ray is not installed")


PARTS = [
    "deployments.gateway:build",
    "deployments.runner:build",
    "deployments.ledger:build",
    "deployments.operations:build",
]


@pytest.mark.parametrize("path", [*PARTS, *IMPORT_PATHS.values()])
def test_an_applications_builder_resolves(path: str) -> None:
    module, _, name = path.partition(":")
    assert callable(getattr(importlib.import_module(module), name))


def test_every_family_has_a_builder() -> None:
    assert set(IMPORT_PATHS) == set(Family)


def test_the_proxies_callback_resolves() -> None:
    environment = local_ray.environment_of(Settings(), "id", "http://127.0.0.1:1", "token")
    module, _, name = environment["RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"].rpartition(".")
    assert getattr(importlib.import_module(module), name)()


def test_the_autoscaling_policy_resolves() -> None:
    from deployments.autoscaling import BacklogPolicy

    bounds = {"minimum": 0, "maximum": 2, "target_wait_seconds": 2, "idle_seconds": 60, "buffer": 0}
    policy = BacklogPolicy("a-model", **bounds)
    policy._recorder.level(series.WANTED_REPLICAS, "a-model").set(1)
    assert callable(pickle.loads(pickle.dumps(policy)))  # Ray sends it along with every replica that it makes


def test_the_converter_resolves() -> None:
    assert importlib.util.find_spec("deployments.engines.convert") is not None
