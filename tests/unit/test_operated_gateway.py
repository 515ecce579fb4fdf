"""A gateway on a cluster whose operator makes Ray's configuration."""

from pathlib import Path

import pytest
from fakes.documents import model
from fakes.gateway import settings_in

from deployments.gateway import desired_state, head_address
from serve.serving.operated import OperatedDesiredState
from serve.serving.ray_rest import RayDesiredState, RayRest
from serve.settings import Settings


@pytest.mark.parametrize(
    ("gcs", "url"),
    [
        ("10.0.0.7:6379", "http://10.0.0.7:8265"),
        ("slipway-head-svc.models.svc.cluster.local:6379", "http://slipway-head-svc.models.svc.cluster.local:8265"),
        ("[fd00::7]:6379", "http://[fd00::7]:8265"),
    ],
)
def test_rays_rest_api_is_where_its_control_store_is(gcs: str, url: str):
    assert head_address(gcs) == url


async def test_an_operated_gateway_writes_nothing_to_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    rest = RayRest("http://127.0.0.1:1", "token")
    assert isinstance(desired_state(settings_in(tmp_path), rest), RayDesiredState)
    monkeypatch.setenv("SLIPWAY_RAY_OPERATED", "true")
    operated = desired_state(Settings(), rest)
    assert isinstance(operated, OperatedDesiredState)
    await operated.apply([model()])  # nobody listens there
    await rest.close()
