"""The command line against the real gateway, runner and stores, with the echo engine behind them."""

import json
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from fakes.adapter_files import language_adapter, written
from fakes.gateway import CHAT, EMBEDDER, Gateway, gateway, model_document
from fakes.http_server import serving
from fakes.platform import wait_for
from starlette.types import ASGIApp
from typer.testing import CliRunner, Result

from deployments.engines.echo import EchoEngine
from serve.cli.context import save_context
from serve.cli.main import build_app
from serve.clock import SystemClock
from serve.domain.documents import EchoEngine as EchoSpec
from serve.domain.run import Run
from serve.runs.execution import Runner
from serve.settings import RunsSettings

SLOW = "echo-slow"
PACED = EchoSpec(kind="echo", token_ms=50)


class NoOutputs:
    """An OutputSink for outputs that all fit into their rows."""

    async def store(self, run: Run, name: str, data: bytes, media_type: str) -> dict[str, Any]:
        raise AssertionError("echo's outputs are small")

    async def read(self, run: Run, asset_id: str) -> bytes:
        raise AssertionError("echo's outputs are small")

    async def keep_only(self, run: Run, asset_ids: Collection[str]) -> None:
        raise AssertionError("no attempt is lost here")


@dataclass(slots=True)
class Platform:
    """A running platform, and the command line that knows it."""

    url: str
    made: Gateway

    def slipway(self, *arguments: str, **options: Any) -> Result:
        """`slipway ARGUMENTS`; the context file holds the address and the admin key."""
        return CliRunner().invoke(build_app(), list(arguments), **options)

    def ok(self, *arguments: str, **options: Any) -> str:
        """The same; it must succeed, and its stdout is given."""
        result = self.slipway(*arguments, **options)
        assert result.exit_code == 0, result.output
        return result.stdout

    def json(self, *arguments: str) -> Any:
        """The same, read as JSON."""
        return json.loads(self.ok(*arguments, "-o", "json"))


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    """A platform with the models echo-chat, echo-embed and echo-slow."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("SLIPWAY_URL", raising=False)
    monkeypatch.delenv("SLIPWAY_API_KEY", raising=False)
    made: list[Gateway] = []

    @asynccontextmanager
    async def build() -> AsyncIterator[ASGIApp]:
        async with gateway(tmp_path / "platform", {SLOW: EchoEngine(PACED)}) as it:
            settings = RunsSettings(poll_seconds=0.05)
            runner = Runner(
                it.services.runs,
                it.services.models,
                SystemClock(),
                owner="test",
                settings=settings,
                max_concurrency=8,
                outputs=NoOutputs(),
            )
            await runner.start()
            made.append(it)
            yield it.app
            await runner.stop()

    with serving(build) as url:
        save_context(url, made[0].key)
        yield Platform(url, made[0])


def write(path: Path, *documents: Any) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump_all(documents))
    return str(path)


def document(name: str, **spec: Any) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(model_document(name, ["chat"], **spec).canonical())
    return body


# Reading


def test_models_are_listed_in_every_format_and_one_by_name(platform: Platform) -> None:
    lines = platform.ok("get", "models").splitlines()
    assert lines[0].split() == ["NAME", "STATE", "REPLICAS", "TASKS", "COLD", "START", "AGE"]
    assert [line.split()[:3] for line in lines[1:]] == [[name, "ready", "1/1"] for name in (CHAT, EMBEDDER, SLOW)]
    names = [model["name"] for model in platform.json("get", "models")]
    assert names == [model["name"] for model in yaml.safe_load(platform.ok("get", "models", "-o", "yaml"))]
    assert platform.json("get", "model", CHAT)["tasks"] == ["chat", "completion"]
    assert [model["name"] for model in platform.json("get", "models", "--task", "embedding")] == [EMBEDDER]


def test_a_description_lists_the_inputs_with_types_bounds_and_defaults(platform: Platform) -> None:
    text = platform.ok("describe", "model", CHAT)
    assert "Inputs of chat" in text
    [temperature] = [line for line in text.split("Inputs of completion")[0].splitlines() if "temperature" in line]
    assert temperature.split()[:4] == ["temperature", "number", "0..2", "1.0"]
    assert "(required)" in text


def test_what_is_not_there_is_exit_4(platform: Platform) -> None:
    for arguments in (["get", "model", "nope"], ["get", "key", "nope"], ["describe", "run", "nope"], ["run", "nope"]):
        assert platform.slipway(*arguments).exit_code == 4, arguments


# Applying


def test_many_documents_of_many_files_are_applied_and_each_is_reported(platform: Platform, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    two = write(folder / "two.yaml", document("one"), document("two"))
    (folder / "three.json").write_text(json.dumps(document("three")))
    (folder / "notes.txt").write_text("not a document")
    assert platform.ok("apply", "-f", str(folder)).splitlines() == [
        "model/three created",
        "model/one created",
        "model/two created",
    ]
    write(folder / "two.yaml", document("one", card={"title": "Another title"}), document("two"))
    assert platform.ok("apply", "-f", two).splitlines() == ["model/one configured", "model/two unchanged"]
    from_stdin = platform.ok("apply", "-f", "-", "-o", "json", input=yaml.safe_dump(document("four")))
    assert json.loads(from_stdin) == [{"kind": "Model", "name": "four", "result": "created"}]
    assert platform.ok("delete", "model", "one", "two") == "model/one deleted\nmodel/two deleted\n"
    assert platform.slipway("describe", "model", "one").exit_code == 4


def test_an_invalid_document_is_refused_with_its_line_and_nothing_is_applied(
    platform: Platform, tmp_path: Path
) -> None:
    file = write(tmp_path / "bad.yaml", document("good"), document("bad") | {"spec": {"family": "llm", "typo": 1}})
    result = platform.slipway("apply", "-f", file)
    assert result.exit_code == 4
    assert "bad.yaml:" in result.stderr
    assert "typo" in result.stderr
    assert "good" not in platform.ok("get", "models")


def test_one_document_that_is_refused_does_not_stop_the_others(platform: Platform, tmp_path: Path) -> None:
    platform_document = {"apiVersion": "slipway.dev/v1alpha1", "kind": "Platform", "metadata": {"name": "p"}}
    file = write(tmp_path / "mixed.yaml", platform_document, document("one"))
    result = platform.slipway("apply", "-f", file)
    assert result.exit_code == 4
    assert "platform/p refused" in result.stderr
    assert result.stdout == "model/one created\n"


def test_an_adapter_is_applied_with_its_model(platform: Platform, tmp_path: Path) -> None:
    files = written(tmp_path / "words", language_adapter())
    folder = next(iter(files.values())).parent
    spec = {"weights": {"uri": f"file://{folder}"}, "base": "one"}
    adapter = {"apiVersion": "slipway.dev/v1alpha1", "kind": "Adapter", "metadata": {"name": "words"}, "spec": spec}
    file = write(tmp_path / "both.yaml", document("one", adapters={"enabled": True}), adapter)
    assert platform.ok("apply", "-f", file) == "model/one created\nadapter/words created\n"
    assert platform.ok("apply", "-f", file) == "model/one unchanged\nadapter/words unchanged\n"


# Running


def test_a_run_prints_the_answer_and_how_it_went(platform: Platform) -> None:
    result = platform.slipway("run", CHAT, "prompt=one two three", "max_tokens=64")
    assert result.exit_code == 0, result.output
    assert "one two three" in result.stdout
    assert "succeeded" in result.stderr
    assert "completion tokens" in result.stderr


def test_a_run_as_json_is_the_finished_run_and_nothing_else(platform: Platform, tmp_path: Path) -> None:
    (tmp_path / "input.json").write_text(json.dumps({"prompt": "from the file", "max_tokens": 8}))
    arguments = ["run", CHAT, "--task", "completion", "-f", str(tmp_path / "input.json"), "max_tokens=4"]
    finished = platform.json(*arguments)
    assert finished["status"] == "succeeded"
    assert (finished["input"]["prompt"], finished["input"]["max_tokens"]) == ("from the file", 4)


def test_embeddings_are_printed_as_json(platform: Platform) -> None:
    [vector] = json.loads(platform.ok("run", EMBEDDER, "input=hello"))["embeddings"]
    assert all(isinstance(value, float) for value in vector)


def test_a_started_run_can_be_found_described_and_forgotten(platform: Platform) -> None:
    run_id = platform.ok("run", CHAT, "prompt=hi", "--no-wait", "--priority", "5").strip()
    assert run_id in platform.ok("get", "runs", "--model", CHAT)
    assert "prompt" not in platform.ok("get", "runs")
    wait_for(lambda: platform.json("get", "run", run_id)["status"] == "succeeded", 60, "success")
    text = platform.ok("describe", "run", run_id)
    assert text.startswith(f"Id:         {run_id}\n")
    assert "content: hi" in text
    assert platform.ok("delete", "run", run_id) == f"run/{run_id} deleted\n"
    assert platform.slipway("describe", "run", run_id).exit_code == 4


def test_a_run_can_be_canceled_from_elsewhere(platform: Platform) -> None:
    run_id = platform.ok("run", SLOW, "prompt=" + "word " * 400, "max_tokens=400", "--no-wait").strip()
    assert platform.ok("cancel", run_id).startswith(f"run/{run_id} ")
    wait_for(lambda: platform.json("get", "run", run_id)["status"] == "canceled", 60, "the cancel")


def test_what_the_platform_checks_comes_back_with_the_field(platform: Platform) -> None:
    result = platform.slipway("run", CHAT, "prompt=hi", "temperature=7")
    assert result.exit_code == 4
    assert "temperature" in result.stderr
    assert platform.slipway("run", CHAT, "--task", "embedding", "input=hi").exit_code == 2
    assert platform.slipway("run", CHAT, "promt=hi").exit_code == 2


# Talking


def test_one_message_gives_one_answer_and_a_footer(platform: Platform) -> None:
    result = platform.slipway("chat", CHAT, "--message", "hello there", "--temperature", "0")
    assert result.exit_code == 0, result.output
    assert "hello there" in result.stdout
    assert "tokens · first after" in result.stderr
    assert "hello there" in platform.ok("chat", CHAT, input="hello there\n")
    assert platform.slipway("chat", CHAT, input="").exit_code == 2


def test_a_conversation_goes_on_over_turns_commands_and_refusals(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve.cli.chat._is_interactive", lambda: True)
    lines = ["alpha", "/system be brief", "beta", "/nonsense", "", "/exit", "never said"]
    result = platform.slipway("chat", CHAT, input="\n".join(lines))
    assert result.exit_code == 0, result.output
    assert "alpha" in result.stdout
    assert "beta" in result.stdout
    assert "There is no /nonsense" in result.stderr
    assert "never said" not in result.stdout


def test_an_unknown_model_is_refused_in_chat(platform: Platform) -> None:
    assert platform.slipway("chat", "nope", "-m", "hi").exit_code == 4


# Keys and tenants


def test_a_key_is_made_shown_once_used_and_revoked(platform: Platform) -> None:
    token = platform.ok("keys", "create", "for the tests", "--scope", "read", "--expires", "1d").strip()
    key_id = token.split("_")[1]
    assert platform.json("--key", token, "get", "models") == platform.json("get", "models")
    assert platform.slipway("--key", token, "run", CHAT, "prompt=hi").exit_code == 4
    assert platform.slipway("--key", token, "keys", "create", "child").exit_code == 4
    [row] = [line for line in platform.ok("keys", "list").splitlines() if key_id in line]
    assert "valid" in row
    assert token not in platform.ok("get", "keys", "-o", "json")
    assert platform.ok("keys", "revoke", key_id) == f"key/{key_id} revoked\n"
    assert platform.slipway("--key", token, "get", "models").exit_code == 4
    assert platform.json("get", "key", key_id)["revoked_at"]


def test_tenants_are_for_administrators(platform: Platform) -> None:
    assert [tenant["name"] for tenant in platform.json("get", "tenants")] == ["default", "other"]
    assert platform.slipway("get", "tenants", "--key", platform.made.other_key).exit_code == 4


def test_another_tenant_sees_no_run_of_ours(platform: Platform) -> None:
    run_id = platform.ok("run", CHAT, "prompt=hi", "--no-wait").strip()
    key = ("--key", platform.made.other_key)
    assert platform.slipway("describe", "run", run_id, *key).exit_code == 4
    assert platform.slipway("cancel", run_id, *key).exit_code == 4
    assert platform.json("get", "runs", *key) == []


# Diagnosis


def test_the_doctor_sees_the_platform_and_a_wrong_key(platform: Platform) -> None:
    findings = {item["check"]: item for item in json.loads(platform.slipway("doctor", "-o", "json").stdout)}
    assert CHAT in findings["Platform"]["found"]
    result = platform.slipway("doctor", "--key", "slw_wrong")
    assert result.exit_code == 1
    assert "slipway keys create" in result.stdout
