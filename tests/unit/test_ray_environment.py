"""The environment of Ray's processes: one function for a machine and for pods, and what a document may set of it."""

import os
from pathlib import Path, PurePosixPath

import pytest
from pydantic import ValidationError

from serve.cli.local_ray import environment_of
from serve.domain.platform import PlatformDocument
from serve.serving.ray_environment import (
    POD_HAPROXY,
    HaproxyPlace,
    pod_environment,
    ray_environment,
    wrong_settings,
)
from serve.settings import GatewaySettings, RaySettings, Settings

_NODE_ID = "f" * 56
_SOCKET_BYTES = 97


def platform(**settings: str) -> PlatformDocument:
    body = {"apiVersion": "slipway.dev/v1alpha1", "kind": "Platform", "metadata": {"name": "studio"}}
    return PlatformDocument.model_validate(body | {"spec": {"settings": settings}})


def test_a_machine_and_a_pod_start_ray_alike_but_for_where_haproxy_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for variable in ("XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    for variable in [name for name in os.environ if name.startswith("SLIPWAY_RAY_")]:
        monkeypatch.delenv(variable)
    here = environment_of(Settings(), "0123456789abcdef", "http://127.0.0.1:1", "token")
    there = pod_environment(platform())
    shared = ray_environment(RaySettings(), GatewaySettings(), POD_HAPROXY)
    differing = {name for name in shared if here[name] != there[name]}
    assert shared.items() <= there.items()
    of_a_machine = ("RAY_SERVE_HAPROXY_", "RAY_SERVE_DIRECT_INGRESS_M", "RAY_SERVE_FALLBACK_PROXY_")
    assert {name for name in differing if not name.startswith(of_a_machine)} == set()


def test_haproxys_sockets_in_a_pod_have_paths_that_it_takes():
    environment = pod_environment(platform())
    path = PurePosixPath(environment["RAY_SERVE_HAPROXY_SOCKET_PATH"])
    assert len(str(path.parent / _NODE_ID / path.name)) <= _SOCKET_BYTES


def test_a_platform_without_haproxy_asks_for_nothing_of_it():
    environment = pod_environment(platform(SLIPWAY_RAY_HA_PROXY="false"))
    assert environment["RAY_SERVE_ENABLE_HA_PROXY"] == environment["RAY_SERVE_ENABLE_DIRECT_INGRESS"] == "0"
    assert not [name for name in environment if name.startswith("RAY_SERVE_HAPROXY_")]


def test_messages_between_replicas_have_room_for_the_bodies_that_a_document_allows():
    small, large = (pod_environment(platform(SLIPWAY_GATEWAY_MAX_BODY_BYTES=text)) for text in ("1024", "104857600"))
    name = "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH"
    assert int(large[name]) - int(small[name]) == 2 * (104857600 - 1024)


def test_what_a_document_sets_comes_before_what_a_pod_would_have():
    environment = pod_environment(platform(SLIPWAY_MODELS_WHEELS_ALLOWED="true", HF_ENDPOINT="https://hub.example"))
    assert environment["SLIPWAY_MODELS_WHEELS_ALLOWED"] == "true"
    assert environment["HF_ENDPOINT"] == "https://hub.example"


def test_a_pods_environment_is_one_that_the_settings_can_be_read_from(monkeypatch: pytest.MonkeyPatch):
    for name in [name for name in os.environ if name.startswith("SLIPWAY_")]:
        monkeypatch.delenv(name)
    environment = pod_environment(platform(SLIPWAY_METERING_DURABILITY="strict"))
    assert wrong_settings({name: value for name, value in environment.items() if name.startswith("SLIPWAY_")}) == ()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert settings.metering.durability == "strict"
    assert settings.metering.cluster == "studio"
    assert settings.models.builtin == ""


def test_no_secret_is_in_it():
    place = HaproxyPlace(PurePosixPath("/x"), 1, 2, 3)
    with_secrets = RaySettings.model_validate({"token": "the-token"})
    gateway = GatewaySettings.model_validate({"metrics_token": "the-metrics-token"})
    assert not [value for value in ray_environment(with_secrets, gateway, place).values() if "token" in value]


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("SLIPWAY_GATEWAY_MAX_IN_FLIHGT", "1", "is no setting"),
        ("SLIPWAY_GATWAY_PORT", "1", "is no setting"),
        ("SLIPWAY_", "1", "is no setting"),
        ("SLIPWAY_GATEWAY_MAX_IN_FLIGHT", "many", "valid integer"),
        ("SLIPWAY_GATEWAY_MAX_IN_FLIGHT", "0", "greater than or equal to 1"),
        ("SLIPWAY_LOG_LEVEL", "LOUD", "should match pattern"),
    ],
)
def test_a_setting_that_no_process_would_start_with_is_told(variable: str, value: str, said: str):
    (sentence,) = wrong_settings({variable: value})
    assert sentence.startswith(variable)
    assert said in sentence


def test_other_programs_variables_and_good_settings_are_nobodys_fault():
    good = {"HF_ENDPOINT": "x", "SLIPWAY_METERING_JOURNAL_DIR": "/x", "SLIPWAY_RAY_HA_PROXY": "off"}
    assert wrong_settings(good) == ()


def test_a_platform_whose_settings_are_wrong_gives_no_environment():
    with pytest.raises(ValidationError):
        pod_environment(platform(SLIPWAY_GATEWAY_MAX_BODY_BYTES="large"))
