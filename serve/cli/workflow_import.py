"""`slipway workflows import`: a ComfyUI graph, or a picture that carries one, as a workflow in a file."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from serve.cli.exits import CliError, ExitCode
from serve.cli.output import Format, note, print_data
from serve.cli.session import connect
from serve.cli.workflow_problems import print_problems

_PATH = "/v1/workflows/import"


def register(group: typer.Typer) -> None:
    """Add the command to the group `workflows`."""
    group.command("import")(import_workflow)


def import_workflow(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="PNG, WebP or JSON.", metavar="FILE", exists=True, dir_okay=False)],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to write it: .yaml or .json.", show_default="stdout")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="What a checkpoint, or a LoRA, is here: FILE=NAME; repeatable.", metavar="FILE=NAME"),
    ] = None,
) -> None:
    """Make a workflow of a ComfyUI graph: `slipway workflows import castle.png -o castle.yaml --model v1-5.ckpt=sd15`.

    Graphs are taken in the API format, in the format that ComfyUI saves, and from pictures that carry one; pictures
    that were made here give their own workflow. What has no equivalent is kept as it is, and told, as is whatever is
    done otherwise here. Exit code 4 if the workflow cannot run yet; it is written all the same.
    """
    chosen = _chosen(model or [])
    with connect(ctx) as client:
        sent = {"file": (file.name, file.read_bytes())}
        found, _ = client.make(_PATH, files=sent, data={"models": json.dumps(chosen)})
    _write(found["spec"], output)
    for told in found["warnings"]:
        note(f"differs: {told}")
    print_problems(found["problems"])
    if any(problem["severity"] == "error" for problem in found["problems"]):
        raise typer.Exit(ExitCode.REFUSED)


def _chosen(words: list[str]) -> dict[str, str]:
    pairs = [word.rpartition("=") for word in words]
    if any(not (file.strip() and name.strip()) for file, _, name in pairs):
        raise CliError("--model reads FILE=NAME: v1-5-pruned.safetensors=sd15", ExitCode.USAGE)
    return {file.strip(): name.strip() for file, _, name in pairs}


def _write(spec: dict[str, Any], output: Path | None) -> None:
    if output is None:
        print_data(spec, Format.YAML)
        return
    try:
        output.write_text(_written(spec, output.suffix), encoding="utf-8")
    except OSError as error:
        raise CliError(f"Cannot write {output}: {error.strerror}", ExitCode.USAGE) from None
    note(f"wrote {output}")


def _written(spec: dict[str, Any], suffix: str) -> str:
    if suffix == ".json":
        return json.dumps(spec, indent=2, ensure_ascii=False) + "\n"
    from serve.catalog.yaml_text import as_yaml

    return as_yaml(spec)
