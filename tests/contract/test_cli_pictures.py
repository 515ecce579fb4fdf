"""Pictures on the command line: sent from files, saved to files."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fakes.http_server import serving
from fakes.images import PAINTER, Studio, mask, picture, studio
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
    """The folder in which the command runs, with a picture and a mask in it."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("SLIPWAY_URL", raising=False)
    monkeypatch.delenv("SLIPWAY_API_KEY", raising=False)
    url, made = platform
    save_context(url, made.made.key)
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "cat.png").write_bytes(picture())
    (folder / "mask.png").write_bytes(mask(holes=False))
    monkeypatch.chdir(folder)
    return folder


def slipway(*words: str, **options: Any) -> Result:
    return CliRunner().invoke(build_app(), list(words), **options)


def test_pictures_are_saved_where_one_is_and_their_names_printed(here: Path) -> None:
    result = slipway("run", PAINTER, "prompt=a dot", "num_images=2", "seed=7")
    assert result.exit_code == 0, result.output
    names = result.stdout.split()
    assert all(re.fullmatch(rf"{PAINTER}-[0-9a-f]{{6}}-[01]\.png", name) for name in names)
    assert sorted(path.name for path in here.iterdir()) == sorted([*names, "cat.png", "mask.png"])
    assert (here / names[0]).read_bytes().startswith(b"\x89PNG")


def test_files_of_pictures_are_uploaded_and_choose_the_task(here: Path, platform: tuple[str, Studio]) -> None:
    words = ("image=@cat.png", "mask=@mask.png", "strength=0.9", "output_format=jpeg")
    result = slipway("run", PAINTER, "prompt=a dot", *words, "--save", "made/here")
    assert result.exit_code == 0, result.output
    assert platform[1].models.sources[-1] == {"image": picture(), "mask": mask(holes=False)}
    (path,) = (here / "made/here").iterdir()
    assert path.name.endswith("-0.jpg")
    assert result.stdout.strip() == f"made/here/{path.name}"


def test_programs_get_json_and_files_only_if_they_ask(here: Path) -> None:
    quiet = slipway("run", PAINTER, "prompt=a", "-o", "json")
    saved = slipway("run", PAINTER, "prompt=a", "-o", "json", "--save", "out")
    run = json.loads(saved.stdout)
    assert json.loads(quiet.stdout)["status"] == run["status"] == "succeeded"
    assert sorted(path.name for path in here.iterdir()) == ["cat.png", "mask.png", "out"]
    assert len(list((here / "out").iterdir())) == 1


def test_stdin_is_a_picture_too(here: Path, platform: tuple[str, Studio]) -> None:
    result = slipway("run", PAINTER, "prompt=a", "image=@-", input=picture(96, 64))
    assert result.exit_code == 0, result.output
    assert platform[1].models.sources[-1] == {"image": picture(96, 64)}


@pytest.mark.parametrize(
    ("word", "exit_code", "says"),
    [
        ("image=cat.png", 2, "image=@file.png"),
        ("image=@missing.png", 2, "Cannot read missing.png"),
        ("image=asset:nope", 4, "there is no such asset"),
    ],
)
def test_what_is_no_picture_is_said_before_anything_runs(here: Path, word: str, exit_code: int, says: str) -> None:
    result = slipway("run", PAINTER, "prompt=a", word)
    assert result.exit_code == exit_code
    assert says in result.output


def test_assets_are_listed_and_deleted(here: Path) -> None:
    assert slipway("run", PAINTER, "prompt=a").exit_code == 0
    listed = slipway("get", "assets", "--limit", "1")
    assert listed.exit_code == 0, listed.output
    heading, row = listed.stdout.splitlines()
    assert heading.split() == ["ID", "NAME", "TYPE", "BYTES", "SIZE", "AGE"]
    assert row.split()[1:3] == ["image-0.png", "image/png"]
    assert slipway("delete", "asset", row.split()[0]).exit_code == 0
    assert slipway("get", "asset", row.split()[0]).exit_code == 4
