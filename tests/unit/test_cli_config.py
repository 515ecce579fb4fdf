"""`slipway config`: every setting, and no secret."""

import json
import os
import subprocess

import pytest
import yaml
from typer.testing import CliRunner

from serve.cli.main import build_app
from serve.settings import Settings


def config(*arguments: str) -> str:
    result = CliRunner().invoke(build_app(), ["config", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_every_setting_is_in_every_format() -> None:
    names = [variable for variable, _, _ in Settings().rows()]
    assert [line.split()[0] for line in config().splitlines()] == ["VARIABLE", *names]
    assert [row["variable"] for row in json.loads(config("-o", "json"))] == names
    assert [row["variable"] for row in yaml.safe_load(config("-o", "yaml"))] == names


@pytest.mark.parametrize("output", ["table", "json", "yaml", "env"])
def test_secrets_are_masked(output: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_OBJECTS_SECRET_KEY", "hunter2")
    monkeypatch.setenv("SLIPWAY_STORAGE_DATABASE_URL", "postgresql+asyncpg://me:hunter2@db/slipway")
    text = config("-o", output)
    assert "hunter2" not in text
    assert "********" in text


def test_the_env_output_is_what_a_shell_can_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_OBJECTS_BUCKET", "it's $HOME; a `bucket`")
    monkeypatch.setenv("SLIPWAY_GATEWAY_PORT", "9999")
    monkeypatch.setenv("SLIPWAY_OBJECTS_SECRET_KEY", "hunter2")
    script = f"set -a\n{config('-o', 'env')}\nenv -0"
    sourced = subprocess.run(
        ["/bin/sh", "-c", script], capture_output=True, check=True, env={"PATH": os.environ["PATH"]}
    )
    found = dict(line.partition("=")[::2] for line in sourced.stdout.decode().split("\0") if line)
    assert found["SLIPWAY_OBJECTS_BUCKET"] == "it's $HOME; a `bucket`"
    assert found["SLIPWAY_GATEWAY_PORT"] == "9999"
    assert "SLIPWAY_OBJECTS_SECRET_KEY" not in found
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    assert Settings().gateway.port == 9999


def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_GATEWAY_PORT", "a lot")
    result = CliRunner().invoke(build_app(), ["config"])
    assert result.exit_code == 2
    assert "SLIPWAY_GATEWAY_PORT" in result.stderr


def test_the_command_lines_own_variables_are_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_URL", "http://h")
    monkeypatch.setenv("SLIPWAY_API_KEY", "slw_x")
    assert Settings()
