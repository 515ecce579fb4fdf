"""`slipway workflows apply` and `validate`: workflows in files, as drafts and before that."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serve.cli.apply import files_in
from serve.cli.arguments import read_text
from serve.cli.exits import CliError, ExitCode
from serve.cli.output import Format, Output, note, print_data
from serve.cli.session import connect, segment
from serve.cli.workflow_problems import Problem, placed, print_problems

if TYPE_CHECKING:
    from serve.cli.client import Client

_KIND = "Workflow"
Files = Annotated[
    list[str], typer.Option("--filename", "-f", help="A file, a folder of .yaml and .json files, or - for stdin.")
]


@dataclass(frozen=True, slots=True)
class Written:
    """A workflow in a file: `base` leads to it in its document, `lines` are those of every path."""

    file: str
    name: str | None
    spec: Any
    base: tuple[str, ...]
    lines: Mapping[Any, int]


def validate(ctx: typer.Context, source: Files, output: Output = Format.TABLE) -> None:
    """Check workflows without keeping them, and tell everything that is wrong, with node, field, code and line:
    `slipway workflows validate -f banner.yaml`.

    Exit code 4 if one of them cannot run; what is only worth a look (warning) is told, and no reason to refuse.
    """
    with connect(ctx) as client:
        checked = [(written, _checked(client, written)) for written in written_in(source)]
    found = [problem for _, (_, problems) in checked for problem in problems]
    if output is not Format.TABLE:
        print_data(found, output)
    else:
        print_problems(found)
        for written, (answer, _) in checked:
            if answer["is_valid"]:
                typer.echo(f"{_label(written)} is valid: {answer['num_steps']} steps at the most")
    if not all(answer["is_valid"] for _, (answer, _) in checked):
        raise typer.Exit(ExitCode.REFUSED)


def apply(
    ctx: typer.Context,
    source: Files,
    name: Annotated[
        str | None, typer.Option(help="What to call it.", show_default="metadata.name of the document")
    ] = None,
    publish: Annotated[bool, typer.Option("--publish", help="Make a version of it, too.")] = False,
    alias: Annotated[
        list[str] | None, typer.Option(help="An alias that is to mean the new version; repeatable, with --publish.")
    ] = None,
    message: Annotated[str, typer.Option("--message", "-m", help="What to note with the version.")] = "",
    output: Output = Format.TABLE,
) -> None:
    """Save workflows as drafts, whatever is wrong with them: `slipway workflows apply -f banner.yaml`.

    With --publish a version is made as well: `... -f banner.yaml --publish --alias prod -m "wider"`. (`slipway apply
    -f` publishes at once, and leaves a draft alone that somebody else is working on.)
    """
    workflows = written_in(source)
    if alias and not publish:
        raise CliError("--alias is for a version: give --publish, too.", ExitCode.USAGE)
    if name is not None and len(workflows) > 1:
        raise CliError(f"There are {len(workflows)} workflows, and --name can name one.", ExitCode.USAGE)
    body = {"note": message, "aliases": alias or []} if publish else None
    results = []
    with connect(ctx) as client:
        for written in workflows:
            results.append(_applied(client, written, name or written.name, body, output))
    if output is not Format.TABLE:
        print_data(results, output)


def written_in(source: Sequence[str]) -> list[Written]:
    """The workflows in these files. Raises CliError for what is none."""
    found = [written for name in source for file in files_in(name) for written in _read(file)]
    if not found:
        raise CliError(f"There is no workflow in {', '.join(source)}.", ExitCode.USAGE)
    return found


def _read(file: str) -> list[Written]:
    from serve.catalog.manifests import read_values

    shown = "stdin" if file == "-" else file
    return [_written(shown, value, lines) for value, lines in read_values(read_text(file), shown)]


def _written(file: str, value: Any, lines: Mapping[Any, int]) -> Written:
    """A document, or a workflow as the editor and the API have it."""
    if isinstance(value, dict) and "kind" in value:
        if value["kind"] != _KIND:
            told = f"{file}:{lines.get((), 1)} is a {value['kind']}, and no Workflow."
            raise CliError(told, ExitCode.USAGE, "`slipway apply -f` takes all kinds of documents.")
        metadata = value.get("metadata")
        name = metadata.get("name") if isinstance(metadata, dict) else None
        return Written(file, name if isinstance(name, str) else None, value.get("spec"), ("spec",), lines)
    if isinstance(value, dict) and "nodes" in value:
        return Written(file, None, value, (), lines)
    raise CliError(f"{file}:{lines.get((), 1)} is no workflow: it has no nodes.", ExitCode.USAGE)


def _checked(client: "Client", written: Written) -> tuple[dict[str, Any], list[Problem]]:
    answer = client.post("/v1/workflows/validate", written.spec)
    return answer, placed(answer["problems"], written.file, written.base, written.lines)


def _applied(
    client: "Client", written: Written, name: str | None, publish: dict[str, Any] | None, output: Format
) -> dict[str, Any]:
    if name is None:
        raise CliError(f"{written.file} does not say what the workflow is called: give --name.", ExitCode.USAGE)
    saved = save_draft(client, name, written.spec)
    if output is Format.TABLE:
        print_problems(placed(saved["problems"], written.file, written.base, written.lines))
        typer.echo(f"workflow/{name} draft saved")
    if publish is None:
        return saved
    path = f"/v1/workflows/{segment(name)}/versions"
    version = client.post(path, publish, {"If-Match": f'"{saved["revision"]}"'})
    if output is Format.TABLE:
        print_version(version)
    return version


def save_draft(client: "Client", name: str, spec: Any) -> dict[str, Any]:
    """Save what becomes the draft of a new or a known workflow, in place of the state that it is in now."""
    from serve.cli.client import Refusal

    path = f"/v1/workflows/{segment(name)}"
    try:
        headers = {"If-Match": f'"{client.get(path)["revision"]}"'}
    except Refusal as error:
        if error.code != "workflow_not_found":
            raise
        headers = {"If-None-Match": "*"}
    return client.put(f"{path}/draft", spec, headers)


def print_version(version: dict[str, Any]) -> None:
    """A version that was published, and what means it."""
    typer.echo(version["address"])
    if version["aliases"]:
        note(f"It is what {', '.join(version['aliases'])} means.")


def _label(written: Written) -> str:
    return f"workflow/{written.name}" if written.name else written.file
