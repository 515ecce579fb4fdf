"""`slipway workflows plan` and `run`: what a run of a workflow would do, and to do it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serve.cli import pictures, workflow_results
from serve.cli.arguments import alternatives, parse_inputs, takes_picture
from serve.cli.completion import workflow_names
from serve.cli.describe import cost_text
from serve.cli.exits import CliError, ExitCode
from serve.cli.output import Format, Output, note, print_data, print_table
from serve.cli.run import end, followed, inputs_from, print_started, start
from serve.cli.session import connect, segment
from serve.cli.workflow_problems import print_problems
from serve.cli.workflow_progress import StepsDisplay

if TYPE_CHECKING:
    from serve.cli.client import Client

Address = Annotated[
    str,
    typer.Argument(
        help="NAME for its latest version, or NAME@3, NAME@prod, NAME@draft.",
        metavar="NAME[@VERSION]",
        autocompletion=workflow_names,
    ),
]
Inputs = Annotated[
    list[str] | None,
    typer.Argument(
        help="name=value, name=@file or name=@- (stdin). A picture's file is uploaded; of several: a=@1.png,@2.png.",
        metavar="NAME=VALUE...",
    ),
]
InputsFile = Annotated[
    Path | None, typer.Option("--file", "-f", help="A JSON object of inputs; name=value comes on top.")
]
Targets = Annotated[
    list[str] | None,
    typer.Option("--target", help="A node to run to, in place of the outputs; repeatable.", metavar="NODE"),
]
Cached = Annotated[bool, typer.Option("--cache/--no-cache", help="Take results that are there, or make all anew.")]


def plan(
    ctx: typer.Context,
    name: Address,
    inputs: Inputs = None,
    target: Targets = None,
    cache: Cached = True,
    file: InputsFile = None,
    output: Output = Format.TABLE,
) -> None:
    """Say what a run would do at each node, how long it takes, and what it costs, and do nothing:
    `slipway workflows plan style-grid seed=4`."""
    with connect(ctx) as client:
        body = _request(client, name, inputs or [], file) | _options(target, cache)
        print_plan(client.post(f"/v1/workflows/{segment(name)}/plan", body), output)


def run(
    ctx: typer.Context,
    name: Address,
    inputs: Inputs = None,
    save: Annotated[
        Path | None,
        typer.Option(help="Folder for files, named after the outputs.", show_default="this folder"),
    ] = None,
    target: Targets = None,
    cache: Cached = True,
    wait: Annotated[bool, typer.Option(help="Follow the run to its end, or only start it.")] = True,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Say what it would take and cost at the most, and do not run it.")
    ] = False,
    webhook: Annotated[str | None, typer.Option(help="A URL that is told how the run ended.")] = None,
    deadline: Annotated[float | None, typer.Option(min=0.001, help="Seconds after which the run is given up.")] = None,
    priority: Annotated[int | None, typer.Option(min=-10, max=10, help="-10 is whenever, 10 is first.")] = None,
    file: InputsFile = None,
    output: Output = Format.TABLE,
) -> None:
    """Run a workflow: `slipway workflows run outpainted-banner prompt="a green star on a yellow background"
    --save out`.

    While it runs there is a line for each step that works. Then its outputs are printed by name; pictures are saved as
    <output>.png, the second of a list as <output>-2.png. If the run fails, what there is of them is saved as well.
    With -o json or yaml files are saved only with --save.

    A picture to start from: `... photo=@cup.png`. Only as far as a node: `--target think`.

    Ctrl-C asks whether to cancel the run or to leave it running.
    """
    with connect(ctx) as client:
        body = _request(client, name, inputs or [], file) | _options(target, cache)
        path = f"/v1/workflows/{segment(name)}"
        if estimate:
            print_plan(client.post(f"{path}/plan", body), output)
            return
        more = {"webhook": {"url": webhook} if webhook else None, "deadline_s": deadline, "priority": priority}
        body |= {option: value for option, value in more.items() if value is not None}
        started = start(client, f"{path}/runs", body)
        if not wait:
            print_started(started, output)
            return
        finished = followed(client, started, StepsDisplay(quiet=output is not Format.TABLE))
        if finished is not None:
            workflow_results.show(client, finished, save, output)
            end(finished, output)


def _options(targets: list[str] | None, use_cache: bool) -> dict[str, Any]:
    return ({"targets": targets} if targets else {}) | ({} if use_cache else {"use_cache": False})


def _request(client: "Client", name: str, words: Sequence[str], file: Path | None) -> dict[str, Any]:
    base = inputs_from(file) if file else {}
    schema = input_schema(client, name) if words else {}
    return {"input": base | _given(client, words, schema)}


def input_schema(client: "Client", name: str) -> dict[str, Any]:
    """The JSON Schema of what a workflow is called with. Raises CliError for one that cannot run."""
    bare, _, which = name.partition("@")
    path = f"/v1/workflows/{segment(bare)}"
    if which == "draft":
        found = client.post("/v1/workflows/validate", client.get(f"{path}/draft")["workflow"])
    else:
        found = client.get(f"{path}/versions/{segment(which or 'latest')}")
    if (schema := found["inputs"]) is None:
        print_problems(found["problems"])
        raise CliError(f"{name} cannot run as it is.", ExitCode.REFUSED)
    return dict(schema)


def _given(client: "Client", words: Sequence[str], schema: Mapping[str, Any]) -> dict[str, Any]:
    lists = {name for name, field in (schema.get("properties") or {}).items() if _takes_pictures(field, schema)}
    of_pictures = [word for word in words if word.partition("=")[0] in lists and "=@" in word]
    singles = [word for word in words if word not in of_pictures]

    def uploaded(name: str) -> str:
        return pictures.upload(client, name)

    given = parse_inputs(singles, schema, upload=uploaded)
    for word in of_pictures:
        name, _, text = word.partition("=")
        if name in given:
            raise CliError(f"{name} is given twice.", ExitCode.USAGE)
        given[name] = [uploaded(one[1:]) if one.startswith("@") else one for one in text.split(",")]
    return given


def _takes_pictures(field: Mapping[str, Any], schema: Mapping[str, Any]) -> bool:
    """Whether it takes a list of them."""
    return any(takes_picture(option.get("items") or {}, schema) for option in alternatives(field, schema))


def print_plan(found: dict[str, Any], output: Format) -> None:
    """A plan as a table of nodes, then what all of it takes."""
    if output is not Format.TABLE:
        print_data(found, output)
        return
    rows = [
        (
            node["node"],
            node["type"],
            node["status"],
            node["times"] or None,
            None if node["seconds"] is None else f"{node['seconds']:.1f}",
            cost_text(node["cost"]) if node["times"] else None,
            cost_text(node["cost_at_most"]) if node["times"] else None,
            node["reason"],
        )
        for node in found["nodes"]
    ]
    print_table(("node", "type", "status", "calls", "seconds", "cost", "at most", "why"), rows)
    if found["seconds"] is not None:
        typer.echo(f"takes about: {found['seconds']:.1f} s, by way of {' > '.join(found['critical_path'])}")
    if found["cost"] is not None:
        typer.echo(f"costs about: {cost_text(found['cost'])}")
    if found["cost_at_most"] is not None:
        typer.echo(f"costs at most: {cost_text(found['cost_at_most'])}")
    for remark in found["notes"]:
        note(remark)
