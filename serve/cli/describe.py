"""`slipway describe`: everything about one model or run."""

from typing import Annotated, Any

import typer

from serve.cli.arguments import type_label
from serve.cli.get import find, noun_of, replicas, run_time
from serve.cli.output import Format, Output, age, plain, print_data, print_fields, print_table
from serve.cli.session import connect

_WIDEST_TYPE = 40
"""Characters of a type that stand in its own column; tables are not cut, and one long list would widen every row."""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(describe)


def describe(
    ctx: typer.Context,
    kind: Annotated[str, typer.Argument(help="model or run.", metavar="KIND")],
    name: Annotated[str, typer.Argument(help="The model's name, or the run's id.")],
    output: Output = Format.TABLE,
) -> None:
    """Show one model with the inputs it takes, or one run with its result."""
    noun = noun_of(kind, ("models", "runs"))
    with connect(ctx) as client:
        found = find(client, noun, name)
    if output is not Format.TABLE:
        print_data(found, output)
    elif noun.named == "name":
        describe_model(found)
    else:
        describe_run(found)


def describe_model(card: dict[str, Any]) -> None:
    """The card as fields, then a table of inputs for each task."""
    modalities = card.get("modalities") or {}
    cold_start = card.get("cold_start_seconds")
    print_fields(
        [
            ("Name", card["name"]),
            ("Title", card.get("title")),
            ("State", card.get("state")),
            ("Message", card.get("message")),
            ("Replicas", replicas(card)),
            ("Cold start", None if cold_start is None else f"{cold_start:.1f} s"),
            ("Family", card.get("family")),
            ("Tasks", card.get("tasks")),
            ("Input", modalities.get("input")),
            ("Output", modalities.get("output")),
            ("Base", card.get("base_architecture")),
            ("License", card.get("license")),
            ("Tags", card.get("tags")),
            ("Digest", card.get("digest")),
            ("Created", card.get("created_at")),
            ("Updated", card.get("updated_at")),
        ]
    )
    if card.get("description"):
        typer.echo("\n" + plain(str(card["description"])))
    for task, schema in (card.get("inputs") or {}).items():
        typer.echo(f"\nInputs of {task}")
        print_table(["name", "type", "default", "description"], _inputs(schema))


def _inputs(schema: dict[str, Any]) -> list[list[Any]]:
    required = set(schema.get("required") or ())
    rows = []
    for name, field in (schema.get("properties") or {}).items():
        default = "(required)" if name in required else field.get("default")
        label, told = type_label(field, schema), field.get("description") or ""
        if len(label) > _WIDEST_TYPE:
            label, told = "choice", f"{told} {label}".strip()
        rows.append([name, label, default, told])
    return rows


def describe_run(run: dict[str, Any]) -> None:
    """The run as fields, then its input and its output."""
    print_fields(
        [
            ("Id", run["id"]),
            ("Model", run.get("model")),
            ("Task", run.get("task")),
            ("Status", run.get("status")),
            ("Attempt", run.get("attempt")),
            ("Created", f"{run.get('created_at')} ({age(run.get('created_at'))} ago)"),
            ("Started", run.get("started_at")),
            ("Finished", run.get("finished_at")),
            ("Took", run_time(run)),
            ("Usage", usage_line(run.get("usage"))),
            ("Error", (run.get("error") or {}).get("message")),
            ("Error code", (run.get("error") or {}).get("code")),
            ("Request", run.get("request_id")),
        ]
    )
    for title, values in (("Input", run.get("input")), ("Output", run.get("output"))):
        if values:
            typer.echo(f"\n{title}")
            print_data({name: value for name, value in values.items() if value is not None}, Format.YAML)


def usage_line(usage: dict[str, Any] | None) -> str:
    """`12 prompt tokens, 30 completion tokens`."""
    return ", ".join(f"{value:g} {name.replace('_', ' ')}" for name, value in (usage or {}).items())
