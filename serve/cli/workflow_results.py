"""What a run of a workflow has made: printed by name, its pictures as files."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from serve.cli.output import Format, note, plain
from serve.cli.pictures import RUN_DIGITS, suffix_of
from serve.cli.session import segment
from serve.cli.transfers import write, writing

if TYPE_CHECKING:
    from serve.cli.client import Client

_STRANGE = re.compile(r"[^A-Za-z0-9_.-]+")


def show(client: "Client", run: dict[str, Any], folder: Path | None, output: Format) -> None:
    """Save the files of a run's outputs, and print all of them by name; those that there are, if it failed.

    Without a folder files come here, and never in place of others. For programs nothing is printed, and files are
    saved only into a folder that is named.
    """
    outputs: dict[str, Any] = run.get("output") or {}
    if output is not Format.TABLE and folder is None:
        return
    for name, value in outputs.items():
        paths = [_save(client, run, stem, asset, folder) for stem, asset in _files(name, value)]
        if output is not Format.TABLE:
            for path in paths:
                note(f"saved {path}")
        elif paths:
            for path in paths:
                typer.echo(f"{name}: {path}")
        else:
            typer.echo(f"{name}: {_told(value)}")


def _files(name: str, value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """(`banner`, asset) for each file of an output, the second of a list as `banner-2`."""
    items = value if isinstance(value, list) else [value]
    for index, item in enumerate(items, start=1):
        if isinstance(item, dict) and isinstance(asset := item.get("asset"), dict):
            yield (name if index == 1 else f"{name}-{index}"), asset


def _save(client: "Client", run: dict[str, Any], stem: str, asset: dict[str, Any], folder: Path | None) -> Path:
    name, suffix = _STRANGE.sub("_", stem.lstrip("$")), suffix_of(asset)
    path = (folder or Path()) / f"{name}{suffix}"
    if folder is None and path.exists():
        path = Path(f"{name}-{run['id'][RUN_DIGITS]}{suffix}")
    with writing(path, f"It is kept as the asset {asset['id']}."):
        write(path, client, f"/v1/assets/{segment(asset['id'])}/content")
    return path


def _told(value: Any) -> str:
    if value is None:
        return "-"
    return plain(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
