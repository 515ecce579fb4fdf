"""Adapters on a command line: how calls name them, which files of a folder are sent, where they are found."""

from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from serve.cli.adapter_files import files_of
from serve.cli.arguments import parse_adapters
from serve.cli.exits import CliError, ExitCode
from serve.cli.main import build_app
from serve.cli.session import adapter_path
from serve.cli.transfers import CountedFile

DIGEST = "sha256:" + "ab" * 32


def test_an_adapter_is_named_alone_or_with_its_scale() -> None:
    assert parse_adapters(["stripes", "acme/outline=0.5", f"x@{DIGEST}=-1"]) == [
        {"name": "stripes"},
        {"name": "acme/outline", "scale": 0.5},
        {"name": f"x@{DIGEST}", "scale": -1.0},
    ]


@pytest.mark.parametrize("word", ["", "=1", "stripes=", "stripes=strong", "stripes=nan", "stripes=inf"], ids=repr)
def test_a_scale_that_is_no_number_is_a_usage_error_that_shows_the_form(word: str) -> None:
    with pytest.raises(CliError) as caught:
        parse_adapters([word])
    assert caught.value.exit_code is ExitCode.USAGE
    assert "stripes=0.8" in caught.value.message


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("stripes", "/v1/adapters/stripes"),
        ("acme/stripes", "/v1/adapters/acme/stripes"),
        (f"acme/stripes@{DIGEST}", f"/v1/adapters/acme/stripes%40sha256%3A{'ab' * 32}"),
        ("../keys?x#y", "/v1/adapters/%2E%2E/keys%3Fx%23y"),
    ],
)
def test_a_name_leads_to_its_own_path_and_nowhere_else(name: str, path: str) -> None:
    assert adapter_path(name) == path


FOLDERS: dict[str, tuple[list[str], list[str]]] = {
    "peft": (
        ["adapter_config.json", "adapter_model.safetensors", "README.md", "optimizer.pt"],
        ["adapter_config.json", "adapter_model.safetensors"],
    ),
    "diffusers": (["pytorch_lora_weights.safetensors", "README.md"], ["pytorch_lora_weights.safetensors"]),
    "peft-with-more": (
        ["adapter_config.json", "adapter_model.safetensors", "merged.safetensors"],
        ["adapter_config.json", "adapter_model.safetensors"],
    ),
}


@pytest.mark.parametrize(("names", "sent"), FOLDERS.values(), ids=FOLDERS.keys())
def test_of_a_folder_the_adapters_files_are_sent(tmp_path: Path, names: list[str], sent: list[str]) -> None:
    for name in names:
        (tmp_path / name).write_text("x")
    assert sorted(files_of([tmp_path])) == sent


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["adapter_model.bin"], "no .safetensors file"),
        (["a.safetensors", "b.safetensors"], "several: a.safetensors, b.safetensors"),
    ],
)
def test_a_folder_that_leaves_it_open_is_a_usage_error(tmp_path: Path, names: list[str], says: str) -> None:
    for name in names:
        (tmp_path / name).write_text("x")
    with pytest.raises(CliError) as caught:
        files_of([tmp_path])
    assert says in caught.value.message
    assert caught.value.details


def test_files_are_there_and_have_different_names(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.safetensors").write_text("x")
    for paths in ([tmp_path / "missing.safetensors"], [tmp_path / "one", tmp_path / "two"]):
        with pytest.raises(CliError) as caught:
            files_of(paths)
        assert caught.value.exit_code is ExitCode.USAGE


def test_a_file_says_how_much_of_it_was_read(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"12345")
    read: list[int] = []
    with CountedFile(tmp_path / "x", read.append) as file:
        while file.read(2):
            pass
    assert read == [2, 2, 1, 0]


def test_a_form_reads_its_files_while_it_is_sent(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(bytes(3 * 2**20))
    read: list[int] = []
    with CountedFile(tmp_path / "x", read.append) as file:
        request = httpx.Request("POST", "http://slipway", data={"name": "x"}, files=[("file", ("x", file))])
        assert int(request.headers["content-length"]) > 3 * 2**20
        assert read == []
        sent = sum(len(chunk) for chunk in request.stream)
    assert sent == int(request.headers["content-length"])
    assert max(read) <= 2**20
    assert sum(read) == 3 * 2**20


@pytest.mark.parametrize(
    "words", [("upload",), ("download",), ("set",), ("share",), ("unshare",)], ids=lambda words: words[0]
)
def test_every_command_explains_itself(words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(build_app(), ["adapters", *words, "--help"])
    assert result.exit_code == 0, result.output
