"""`slipway apply`: documents from files, folders or stdin become what is served."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serve.cli.arguments import read_text
from serve.cli.exits import CliError, ExitCode, Unreachable
from serve.cli.output import Format, Output, print_data
from serve.cli.session import connect, segment

if TYPE_CHECKING:
    from serve.cli.client import Client
    from serve.domain.kinds import AnyDocument

_SUFFIXES = {".yaml", ".yml", ".json"}


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(apply)


def apply(
    ctx: typer.Context,
    source: Annotated[
        list[str], typer.Option("--filename", "-f", help="A file, a folder of .yaml and .json files, or - for stdin.")
    ],
    output: Output = Format.TABLE,
) -> None:
    """Make documents the desired state: `apply -f model.yaml`.

    Every document is checked before the first is sent. One that the platform refuses does not stop the others.
    """
    documents = [document for name in source for document in _read(name)]
    if not documents:
        raise CliError(f"There is no document in {', '.join(source)}.", ExitCode.USAGE)
    with connect(ctx) as client:
        results = [_send(client, document, output) for document in documents]
    if output is not Format.TABLE:
        print_data([result for result, _ in results], output)
    worst = max((error.exit_code for _, error in results if error), default=ExitCode.OK)
    if worst:
        raise typer.Exit(worst)


def _read(source: str) -> Iterator["AnyDocument"]:
    from serve.catalog.manifests import load_documents

    for name in files_in(source):
        yield from load_documents(read_text(name), "stdin" if name == "-" else name)


def files_in(source: str) -> list[str]:
    """The file `source`, `-`, or the documents' files in the folder `source`."""
    folder = Path(source)
    if source == "-" or not folder.is_dir():
        return [source]
    return sorted(str(found) for found in folder.iterdir() if found.suffix in _SUFFIXES and found.is_file())


def _send(client: "Client", document: "AnyDocument", output: Format) -> tuple[dict[str, Any], CliError | None]:
    """Apply one document. An unreachable platform ends the command; a refusal is reported and remembered."""
    who = {"kind": document.kind, "name": document.name}
    path = f"/v1/admin/documents/{segment(document.kind)}/{segment(document.name)}"
    label = f"{document.kind.lower()}/{document.name}"
    try:
        if document.kind == "Platform":
            told = "A platform's document is not applied over HTTP."
            raise CliError(told, ExitCode.REFUSED, "See `slipway config`.")
        result = client.put(path, _body(document))["result"]
    except Unreachable:
        raise
    except CliError as error:
        typer.secho(f"{label} refused: {error.message}  {error.details}".rstrip(), err=True, fg=typer.colors.RED)
        return who | {"result": "refused", "error": error.message}, error
    if output is Format.TABLE:
        typer.echo(f"{label} {result}")
    return who | {"result": result}, None


def _body(document: "AnyDocument") -> dict[str, Any]:
    """The document as it is sent. Values within a workflow keep the order of their keys, in which a model answers that
    is given a JSON Schema, and their nulls."""
    body: dict[str, Any] = json.loads(document.canonical())
    if document.kind == "Workflow":
        body["spec"] = document.spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return body
