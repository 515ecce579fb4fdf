"""Files on their way to the platform and back: pictures that a model is given, and what a run has made."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serve.cli.exits import CliError, ExitCode
from serve.cli.session import segment
from serve.cli.transfers import write, writing

if TYPE_CHECKING:
    from serve.cli.client import Client

RUN_DIGITS = slice(-6, None)
"""Of a run's id in the names of its files: enough to tell apart what lies in one folder."""
_SUFFIXES = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp", "application/json": ".json"}


def upload(client: "Client", name: str) -> str:
    """Upload the file `name`, or stdin for `-`; what a picture's field takes. Raises CliError (usage)."""
    try:
        content = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise CliError(f"Cannot read {name}: {error}", ExitCode.USAGE) from error
    if not content:
        raise CliError(f"{name} is empty.", ExitCode.USAGE)
    title = "stdin" if name == "-" else Path(name).name
    return f"asset:{client.upload(title, content)['id']}"


def save(client: "Client", run: dict[str, Any], folder: Path) -> list[Path]:
    """Write everything that `run` has made into `folder`, which is made where there is none; the files, in order."""
    artifacts = sorted((run.get("output") or {}).get("artifacts") or (), key=lambda artifact: artifact["index"])
    return [_save(client, run, artifact, folder) for artifact in artifacts]


def _save(client: "Client", run: dict[str, Any], artifact: dict[str, Any], folder: Path) -> Path:
    asset = artifact["asset"]
    path = folder / f"{run['model']}-{run['id'][RUN_DIGITS]}-{artifact['index']}{suffix_of(asset)}"
    with writing(path, f"It is kept as the asset {asset['id']}."):
        write(path, client, f"/v1/assets/{segment(asset['id'])}/content")
    return path


def suffix_of(asset: dict[str, Any]) -> str:
    """What the name of an asset's file ends with."""
    return _SUFFIXES.get(asset["media_type"], ".bin")
