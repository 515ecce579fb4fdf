"""Adapters on the command line, against the real gateway, registry and runner."""

import json
import zipfile
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from fakes.adapter_files import image_adapter, language_adapter, written
from fakes.gateway import CHAT, EMBEDDER, Gateway, gateway, model_document
from fakes.http_server import serving
from fakes.images import StoredOutputs
from starlette.types import ASGIApp
from typer.testing import CliRunner, Result

from deployments.engines.echo import EchoEngine
from deployments.engines.engine import AppliedAdapter
from serve.cli.context import save_context
from serve.cli.main import build_app
from serve.clock import SystemClock
from serve.domain.documents import EchoEngine as EchoSpec
from serve.domain.documents import ModelDocument
from serve.domain.generation import EventBatch, ModelCall
from serve.domain.usage import Tally
from serve.runs.execution import Runner
from serve.settings import RunsSettings

DRAW = "draw"


class Remembering(EchoEngine):
    """Echoes, and remembers which adapters it was given."""

    def __init__(self) -> None:
        super().__init__(EchoSpec(kind="echo"))
        self.uses: list[list[tuple[str, float]]] = []

    def stream(
        self, call: ModelCall, adapters: Sequence[AppliedAdapter] = (), tally: Tally | None = None
    ) -> AsyncGenerator[EventBatch, None]:
        self.uses.append([(adapter.id, adapter.scale) for adapter in adapters])
        return super().stream(call, adapters)


@dataclass(slots=True)
class Platform:
    """A running platform, and the command line that knows it."""

    made: Gateway
    engine: Remembering

    def slipway(self, *arguments: str, **options: Any) -> Result:
        return CliRunner().invoke(build_app(), list(arguments), **options)

    def ok(self, *arguments: str, **options: Any) -> str:
        """Its stdout; it must succeed."""
        result = self.slipway(*arguments, **options)
        assert result.exit_code == 0, result.output
        return result.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self.ok(*arguments, "-o", "json"))

    def refused(self, *arguments: str, exit_code: int = 4) -> str:
        """Its stderr; it must fail so, and without a trace."""
        result = self.slipway(*arguments)
        assert result.exit_code == exit_code, result.output
        assert "Traceback" not in result.output
        return result.stderr


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Platform]]:
    """A platform with the models echo-chat and draw (an SD 1.5 that nobody calls), which take adapters."""
    engine, made = Remembering(), list[Gateway]()

    @asynccontextmanager
    async def build() -> AsyncIterator[ASGIApp]:
        async with gateway(tmp_path_factory.mktemp("platform") / "p", {CHAT: engine}) as it:
            for document in (chat_document(), draw_document()):
                await it.services.catalog.apply(document, "api")
            settings = RunsSettings(poll_seconds=0.05)
            runner = Runner(
                it.services.runs,
                it.services.models,
                SystemClock(),
                owner="test",
                settings=settings,
                max_concurrency=4,
                outputs=StoredOutputs(it.services.assets),
            )
            await runner.start()
            made.append(it)
            yield it.app
            await runner.stop()

    with serving(build) as url:
        yield url, Platform(made[0], engine)


def chat_document() -> ModelDocument:
    return model_document(CHAT, ["chat", "completion"], adapters={"enabled": True})


def draw_document() -> ModelDocument:
    card = {"title": "Draw", "baseArchitecture": "sd15"}
    policy = {"enabled": True, "maxPerCall": 2}
    return model_document(DRAW, ["text_to_image"], family="text_to_image", card=card, adapters=policy)


@pytest.fixture
def platform(running: tuple[str, Platform], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    """The platform without adapters; commands run in an empty folder."""
    url, platform = running
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("SLIPWAY_URL", raising=False)
    monkeypatch.delenv("SLIPWAY_API_KEY", raising=False)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    save_context(url, platform.made.key)
    platform.engine.uses.clear()
    yield platform
    if names := [adapter["name"] for adapter in platform.json("get", "adapters")]:
        platform.ok("delete", "adapters", *names)


def words_folder(fill: float = 0.5, name: str = "words") -> str:
    """A PEFT folder here, with what training leaves beside it."""
    written(Path(name), language_adapter(fill) | {"README.md": b"x", "optimizer.pt": b"\x80\x02"})
    return name


def stripes_file(fill: float = 0.5) -> str:
    return str(written(Path(), {"stripes.safetensors": image_adapter(fill)})["stripes.safetensors"])


def test_a_file_is_uploaded_listed_described_and_deleted(platform: Platform) -> None:
    words = ("--base", DRAW, "--title", "Stripes", "--trigger", "striped", "--trigger", "in rows", "--scale", "0.7")
    result = platform.slipway("adapters", "upload", stripes_file(), "--name", "stripes", *words)
    assert result.exit_code == 0, result.output
    stored = platform.json("get", "adapter", "stripes")
    assert result.stdout.strip() == stored["id"]
    assert f"slipway run {DRAW} --adapter stripes" in result.stderr
    assert (stored["title"], stored["trigger_words"], stored["default_scale"]) == (
        "Stripes",
        ["striped", "in rows"],
        0.7,
    )
    heading, row = platform.ok("get", "adapters").splitlines()
    assert heading.split() == ["NAME", "BASE", "ARCHITECTURE", "RANK", "BYTES", "VERSION", "AGE"]
    assert row.split()[:4] == ["stripes", DRAW, "sd15", "2"]
    assert row.split()[5] == stored["digest"][:19]
    assert stored["id"] in platform.ok("get", "adapters", "-o", "wide")
    assert yaml.safe_load(platform.ok("get", "adapters", "-o", "yaml"))[0]["id"] == stored["id"]
    text = platform.ok("describe", "adapter", "stripes")
    for told in (f'"model": "{DRAW}:stripes"', "lora", "in rows", stored["files"][0]["sha256"], "Versions"):
        assert told in text, told
    assert platform.ok("delete", "adapter", "stripes") == "adapter/stripes deleted\n"
    assert "code: adapter_not_found" in platform.refused("describe", "adapter", "stripes")


def test_lists_are_filtered_and_paged(platform: Platform) -> None:
    for number in range(3):
        platform.ok("adapters", "upload", stripes_file(number + 0.5), "--name", f"s{number}", "--base", DRAW)
    platform.ok("adapters", "upload", words_folder(), "--name", "words")
    assert [a["name"] for a in platform.json("get", "adapters", "--base", DRAW)] == ["s0", "s1", "s2"]
    assert [a["name"] for a in platform.json("get", "adapters", "--architecture", "language")] == ["words"]
    result = platform.slipway("get", "adapters", "--limit", "2")
    assert [line.split()[0] for line in result.stdout.splitlines()[1:]] == ["s0", "s1"]
    assert "There are more" in result.stderr
    assert platform.slipway("get", "runs", "--base", DRAW).exit_code == 2


@pytest.mark.parametrize("packed", ["folder", "files", "zip"])
def test_a_peft_folder_goes_and_comes_back_as_it_was(platform: Platform, packed: str) -> None:
    folder = Path(words_folder())
    names = ["adapter_config.json", "adapter_model.safetensors"]
    with zipfile.ZipFile("words.zip", "w") as archive:
        for name in names:
            archive.write(folder / name)
    paths = {"folder": ["words"], "files": [str(folder / name) for name in names], "zip": ["words.zip"]}[packed]
    platform.ok("adapters", "upload", *paths, "--name", "words")
    assert platform.ok("adapters", "download", "words", "--to", "home") == "home/words\n"
    assert {path.name: path.read_bytes() for path in Path("home/words").iterdir()} == language_adapter()
    assert [path.name for path in Path("home").iterdir()] == ["words"]


def test_a_download_overwrites_nothing(platform: Platform) -> None:
    first = platform.ok("adapters", "upload", stripes_file(0.1), "--name", "stripes").strip()
    platform.ok("adapters", "upload", stripes_file(0.2), "--name", "stripes")
    assert platform.ok("adapters", "download", "stripes") == "stripes.safetensors\n"  # the very file
    old = f"stripes@{first.partition('@')[2]}"
    assert "Move it, or choose another folder" in platform.refused("adapters", "download", old, exit_code=1)
    assert platform.ok("adapters", "download", old, "--to", "old") == "old/stripes.safetensors\n"
    assert Path("old/stripes.safetensors").read_bytes() == image_adapter(0.1)
    assert Path("stripes.safetensors").read_bytes() == image_adapter(0.2)
    assert "not the present one" in platform.ok("describe", "adapter", old)


def test_the_same_files_are_the_same_version_and_others_another(platform: Platform) -> None:
    upload = ("adapters", "upload", "stripes.safetensors", "--name", "stripes")
    stripes_file(0.1)
    first = platform.ok(*upload)
    again = platform.slipway(*upload)
    assert (again.stdout, "already" in again.stderr) == (first, True)
    stripes_file(0.2)
    assert platform.ok(*upload) != first
    assert len(platform.json("get", "adapter", "stripes")["versions"]) == 2
    digest = first.strip().partition("@")[2]
    platform.ok("delete", "adapter", f"stripes@{digest}")
    assert [v["digest"] == digest for v in platform.json("get", "adapter", "stripes")["versions"]] == [False]


def test_an_address_stands_for_files(platform: Platform) -> None:
    path = Path(stripes_file()).resolve()
    stored = platform.json("adapters", "upload", "--uri", f"file://{path}", "--name", "stripes")
    words = ("--uri", f"file://{path}", "--name", "pinned", "--digest")
    assert platform.json("adapters", "upload", *words, stored["digest"])["digest"] == stored["digest"]
    assert "digest_mismatch" in platform.refused("adapters", "upload", *words, f"sha256:{'0' * 64}")
    key = ("--key", platform.made.other_key)
    assert "address_not_allowed" in platform.refused("adapters", "upload", *words[:3], "x", *key)


def test_what_cannot_be_is_said_with_its_code_and_what_to_do(platform: Platform) -> None:
    file = stripes_file()
    Path("pickle.safetensors").write_bytes(b"\x80\x02}q\x00.")
    upload = ("adapters", "upload", "--name", "x")
    told = platform.refused(*upload, file, "--base", CHAT)
    assert "wrong_base" in told
    assert "sd15" in told
    assert "adapter_pickle" in platform.refused(*upload, "pickle.safetensors")
    assert "adapters_not_enabled" in platform.refused(*upload, file, "--base", EMBEDDER)
    assert "model_not_found" in platform.refused(*upload, file, "--base", "nothing")
    for words in ((), (file, "--uri", "asset:x"), (file, "--digest", "x"), ("missing.safetensors",)):
        platform.refused(*upload, *words, exit_code=2)
    assert "lower-case" in platform.refused("adapters", "upload", file, "--name", "Big Name", exit_code=2)
    assert platform.json("get", "adapters") == []


def test_sharing_is_given_told_and_taken_back(platform: Platform) -> None:
    other = ("--key", platform.made.other_key)
    platform.ok("adapters", "upload", stripes_file(), "--name", "stripes", "--share", "acme")
    platform.refused("describe", "adapter", "default/stripes", *other)
    assert platform.ok("adapters", "share", "stripes", "other", "acme") == "adapter/stripes shared with acme, other\n"
    assert "acme, other" in platform.ok("describe", "adapter", "stripes")
    [row] = platform.ok("get", "adapters", *other).splitlines()[1:]
    assert row.split()[0] == "default/stripes"
    assert platform.ok("adapters", "download", "default/stripes", *other) == "default-stripes.safetensors\n"
    for words in (("share", "default/stripes", "friend"), ("set", "default/stripes", "--title", "mine")):
        platform.refused("adapters", *words, *other)
    assert "not shared with nobody" in platform.refused("adapters", "unshare", "stripes", "nobody")
    assert platform.ok("adapters", "unshare", "stripes", "other") == "adapter/stripes shared with acme\n"
    assert platform.ok("adapters", "unshare", "stripes", "acme") == "adapter/stripes is private\n"
    assert platform.json("get", "adapters", *other) == []


def test_what_is_said_of_an_adapter_can_be_changed(platform: Platform) -> None:
    version = platform.ok("adapters", "upload", stripes_file(), "--name", "stripes", "--trigger", "a").strip()
    assert platform.ok("adapters", "set", "stripes", "--title", "S", "--trigger", "") == "adapter/stripes configured\n"
    adapter = platform.json("get", "adapter", "stripes")
    assert (adapter["title"], adapter["trigger_words"], adapter["id"]) == ("S", [], version)
    platform.refused("adapters", "set", "stripes", exit_code=2)


def test_runs_and_chats_use_the_adapters_that_are_named(platform: Platform) -> None:
    one = platform.ok("adapters", "upload", words_folder(0.1), "--name", "one", "--scale", "0.5").strip()
    two = platform.ok("adapters", "upload", words_folder(0.2), "--name", "two").strip()
    run = platform.json("run", CHAT, "prompt=hi", "--adapter", "one", "--adapter", "two=-0.25")
    assert run["adapters"] == [{"id": one, "scale": 0.5}, {"id": two, "scale": -0.25}]
    assert f"{two} x -0.25" in platform.ok("describe", "run", run["id"])
    platform.ok("run", f"{CHAT}:default/two", "prompt=hi")
    platform.ok("chat", f"{CHAT}:one", "-m", "hi")
    platform.ok("chat", CHAT, "-m", "hi", "--adapter", "one=1", "--adapter", "two")
    expected = [[(one, 0.5), (two, -0.25)], [(two, 1.0)], [(one, 0.5)], [(one, 1.0), (two, 1.0)]]
    assert platform.engine.uses == expected
    told = platform.refused("run", CHAT, "prompt=hi", "--adapter", "nothing")
    assert "field: adapters.0.name" in told
    platform.refused("chat", CHAT, "-m", "hi", "--adapter", "one=strong", exit_code=2)


def test_a_model_says_which_adapters_it_takes(platform: Platform) -> None:
    assert "sd15, up to 2 in a call, rank 64" in platform.ok("describe", "model", DRAW)
    assert "Adapters:" not in platform.ok("describe", "model", EMBEDDER)


def test_an_adapter_is_a_document_too(platform: Platform) -> None:
    def document(**spec: Any) -> str:
        weights = {"uri": f"file://{Path('stripes.safetensors').resolve()}"}
        head = {"apiVersion": "slipway.dev/v1alpha1", "kind": "Adapter", "metadata": {"name": "stripes"}}
        Path("adapter.yaml").write_text(yaml.safe_dump(head | {"spec": {"weights": weights} | spec}))
        return "adapter.yaml"

    stripes_file()
    apply = ("apply", "-f")
    assert platform.ok(*apply, document(base=DRAW)) == "adapter/stripes created\n"
    assert platform.ok(*apply, document(base=DRAW)) == "adapter/stripes unchanged\n"
    assert platform.ok(*apply, document(base=DRAW, sharedWith=["other"])) == "adapter/stripes configured\n"
    assert platform.json("get", "adapter", "stripes")["shared_with"] == ["other"]
    assert "spec.base" in platform.refused(*apply, document(base=CHAT))
