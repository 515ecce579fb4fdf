"""`slipway workflows import` over a real socket: from a picture to a file that can be applied."""

import io
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml
from fakes.comfyui import comfy_graph
from fakes.http_server import serving
from fakes.images import PAINTER, Studio, studio
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from starlette.types import ASGIApp
from typer.testing import CliRunner, Result

from serve.cli.context import save_context
from serve.cli.main import build_app


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Studio]]:
    found: list[Studio] = []

    @asynccontextmanager
    async def build() -> AsyncIterator[ASGIApp]:
        async with studio(tmp_path_factory.mktemp("platform") / "s") as it:
            found.append(it)
            yield it.made.app

    with serving(build) as url:
        yield url, found[0]


@pytest.fixture
def here(platform: tuple[str, Studio], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the command runs, with a picture that carries a graph."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("SLIPWAY_URL", raising=False)
    monkeypatch.delenv("SLIPWAY_API_KEY", raising=False)
    url, made = platform
    save_context(url, made.made.key)
    graph = comfy_graph("text_to_image")
    graph["5"]["inputs"] |= {"width": 64, "height": 64}
    info = PngInfo()
    info.add_text("prompt", json.dumps(graph))
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "PNG", pnginfo=info)
    (tmp_path / "castle.png").write_bytes(stream.getvalue())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def slipway(*words: str) -> Result:
    return CliRunner().invoke(build_app(), list(words))


def test_a_picture_becomes_a_file_that_is_applied(here: Path) -> None:
    chosen = f"v1-5-pruned-emaonly-fp16.safetensors={PAINTER}"
    result = slipway("workflows", "import", "castle.png", "-o", "castle.yaml", "--model", chosen)
    assert result.exit_code == 0, result.output
    written = yaml.safe_load((here / "castle.yaml").read_text())
    assert written["nodes"]["ksampler_3"]["type"] == f"model:{PAINTER}"
    applied = slipway("workflows", "apply", "-f", "castle.yaml", "--name", "castle")
    assert applied.exit_code == 0, applied.output


def test_what_cannot_run_yet_is_written_and_told(here: Path) -> None:
    result = slipway("workflows", "import", "castle.png", "-o", "castle.json")
    assert result.exit_code == 4
    assert "v1-5-pruned-emaonly-fp16.safetensors" in result.stderr
    assert "unknown_model" in result.stderr
    assert json.loads((here / "castle.json").read_text())["nodes"]
    shown = slipway("workflows", "import", "castle.png")
    assert yaml.safe_load(shown.stdout)["provenance"]["importedFrom"] == "comfyui-api"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("none.png",), 2),
        (("castle.png", "--model", "sd15"), 2),
        (("castle.png", "-o", "no/such/folder.yaml"), 2),
        (("plain.png",), 4),
    ],
)
def test_what_makes_no_sense_is_refused(here: Path, words: tuple[str, ...], code: int) -> None:
    Image.new("RGB", (8, 8)).save(here / "plain.png")
    assert slipway("workflows", "import", *words).exit_code == code
