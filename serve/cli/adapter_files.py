"""An adapter's files on this machine: which of them are sent, and how they come back."""

import hashlib
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serve.cli.exits import CliError, ExitCode
from serve.cli.session import adapter_path
from serve.cli.transfers import bar, write, writing

if TYPE_CHECKING:
    from serve.cli.client import Client

_WEIGHTS, _CONFIG = "adapter_model.safetensors", "adapter_config.json"
_SAFETENSORS = ".safetensors"
_CHUNK_BYTES = 2**20


def files_of(paths: Iterable[Path]) -> dict[str, Path]:
    """What is sent for `paths`, by name: files as they are, of a folder those that are the adapter's.

    Raises CliError (usage).
    """
    found: dict[str, Path] = {}
    for path in [each for given in paths for each in (_of_folder(given) if given.is_dir() else [given])]:
        if not path.is_file():
            raise CliError(f"There is no file {path}.", ExitCode.USAGE)
        if path.name in found:
            raise CliError(
                f"Two files are called {path.name}: an adapter's files have different names.", ExitCode.USAGE
            )
        found[path.name] = path
    return found


def _of_folder(folder: Path) -> list[Path]:
    """The weights, and for PEFT the configuration beside them: training leaves much else there."""
    weights = sorted(path for path in folder.iterdir() if path.suffix == _SAFETENSORS)
    if len(weights) > 1:
        weights = [path for path in weights if path.name == _WEIGHTS] or weights
    if len(weights) != 1:
        told = ", ".join(path.name for path in weights[:5])
        raise CliError(
            f"{folder} holds {f'several: {told}' if weights else 'no .safetensors file'}.",
            ExitCode.USAGE,
            "Name the file." if weights else "Adapters are .safetensors files; pickles (.bin, .pt) are not taken.",
        )
    config = folder / _CONFIG
    return [*weights, config] if config.is_file() else weights


def save(client: "Client", adapter: dict[str, Any], folder: Path) -> Path:
    """Download an adapter's files into `folder`: the one there is, or a folder of them; its path.

    Raises CliError: something else is there, cannot be written, or did not arrive whole.
    """
    files: dict[str, str] = {Path(file["name"]).name: file["sha256"] for file in adapter["files"]}
    title = adapter["address"].replace("/", "-")
    path = folder / (title if len(files) > 1 else f"{title}{_SAFETENSORS}")
    with writing(path):
        if path.exists():
            if not _is(path, files):
                raise CliError(f"{path} is there, and is something else. Move it, or choose another folder with --to.")
            return path
        # Beside its place, so that moving it there is one step.
        with tempfile.TemporaryDirectory(dir=folder, prefix=".slipway-") as temporary:
            made = _fetched(client, adapter, files, Path(temporary))
            if not _is(made, files):
                raise CliError(
                    f"What came is not {adapter['id']}.", details="The transfer damaged it. Download it again."
                )
            made.rename(path)
    return path


def _fetched(client: "Client", adapter: dict[str, Any], files: Iterable[str], folder: Path) -> Path:
    """By its digest: a name may move between being looked up and being read."""
    received = folder / "received"
    with bar("receiving", adapter["num_bytes"]) as moved:
        write(received, client, f"{adapter_path(adapter['id'])}/content", moved)
    if len(list(files)) == 1:
        return received
    unpacked = folder / "unpacked"
    unpacked.mkdir()
    try:
        with zipfile.ZipFile(received) as archive:
            for name in files:
                with archive.open(name) as source, (unpacked / name).open("wb") as sink:
                    while chunk := source.read(_CHUNK_BYTES):
                        sink.write(chunk)
    except (zipfile.BadZipFile, KeyError, EOFError) as error:
        raise CliError(f"What came is not {adapter['id']}: {error}", details="Download it again.") from error
    return unpacked


def _is(path: Path, files: dict[str, str]) -> bool:
    """Whether `path` holds these files, by their digests."""
    if len(files) == 1:
        return path.is_file() and _sha256(path) == next(iter(files.values()))
    return path.is_dir() and all((path / name).is_file() and _sha256(path / name) == files[name] for name in files)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
