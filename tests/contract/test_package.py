"""The package that is built: the web app is in it, or somebody said that it need not be."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE")
WHEEL = (
    "-m",
    "pip",
    "--disable-pip-version-check",
    "wheel",
    "--no-deps",
    "--no-build-isolation",
    "--wheel-dir",
    "made",
    ".",
)
SDIST = ("-c", "from setuptools import build_meta; build_meta.build_sdist('made')")
EDITABLE = ("-c", "from setuptools import build_meta; build_meta.build_editable('made')")
PAGE = {"index.html": "<!doctype html>", "assets/a-12345678.js": "1", "assets/a-12345678.js.br": "1"}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A checkout with the code of the gateway and npm's packages, and no page."""
    for name in FILES:
        shutil.copy(ROOT / name, tmp_path)
    for name in ("gateway", "catalog"):
        shutil.copytree(ROOT / "serve" / name, tmp_path / "serve" / name)
    shutil.copy(ROOT / "serve/__init__.py", tmp_path / "serve")
    (tmp_path / "made").mkdir()
    for name in ("node_modules/package/settings.yaml", "src/main.tsx", "package.json"):
        path = tmp_path / "serve/web" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    return tmp_path


def with_page(tree: Path) -> Path:
    for name, content in PAGE.items():
        path = tree / "serve/web/dist" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return tree


def build(tree: Path, how: tuple[str, ...], **environment: str) -> subprocess.CompletedProcess[str]:
    outside = {name: value for name, value in os.environ.items() if name != "SLIPWAY_WITHOUT_PAGE"}
    return subprocess.run(
        [sys.executable, *how], cwd=tree, env=outside | environment, capture_output=True, text=True, check=False
    )


def names_in_wheel(tree: Path) -> set[str]:
    [wheel] = (tree / "made").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_a_wheel_has_the_built_page_and_none_of_its_sources(tree: Path):
    done = build(with_page(tree), WHEEL)
    assert done.returncode == 0, done.stderr[-2000:]
    names = names_in_wheel(tree)
    assert {name for name in names if name.startswith("serve/web/")} == {f"serve/web/dist/{name}" for name in PAGE}
    assert "serve/catalog/builtin/smollm2-135m-instruct.yaml" in names
    assert "serve/gateway/page/files.py" in names


def test_an_sdist_has_the_page_and_its_sources_and_no_package_of_npms(tree: Path):
    done = build(with_page(tree), SDIST)
    assert done.returncode == 0, done.stderr[-2000:]
    [archive] = (tree / "made").glob("*.tar.gz")
    with tarfile.open(archive) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    assert {"serve/web/dist/index.html", "serve/web/src/main.tsx", "serve/web/package.json", "setup.py"} <= names
    assert not [name for name in names if "node_modules" in name]


@pytest.mark.parametrize("how", [WHEEL, SDIST], ids=["wheel", "sdist"])
def test_without_a_page_nothing_is_packed_and_a_sentence_says_what_to_do(tree: Path, how: tuple[str, ...]):
    done = build(tree, how)
    assert done.returncode != 0
    assert "The web app is not built (serve/web/dist): run `make ui` first" in done.stdout + done.stderr
    assert not list((tree / "made").iterdir())


def test_a_package_without_the_page_can_be_asked_for(tree: Path):
    done = build(tree, WHEEL, SLIPWAY_WITHOUT_PAGE="1")
    assert done.returncode == 0, done.stderr[-2000:]
    assert not [name for name in names_in_wheel(tree) if name.startswith("serve/web/")]


def test_an_editable_installation_needs_no_page(tree: Path):
    done = build(tree, EDITABLE)
    assert done.returncode == 0, done.stderr[-2000:]
