"""`slipway describe`: everything about one model, adapter or run."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serve.cli.arguments import type_label
from serve.cli.get import Noun, find, listed, noun_of, replicas, run_time
from serve.cli.output import Format, Output, age, plain, print_data, print_fields, print_table
from serve.cli.session import connect

if TYPE_CHECKING:
    from serve.cli.client import Client

_WIDEST_TYPE = 40
"""Characters of a type that stand in its own column; tables are not cut, and one long list would widen every row."""
_MAX_STEPS = 5000


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(describe)


def describe(
    ctx: typer.Context,
    kind: Annotated[str, typer.Argument(help="model, adapter or run.", metavar="KIND")],
    name: Annotated[
        str, typer.Argument(help="The model's name, the adapter's (with @sha256:... a version), the run's id.")
    ],
    output: Output = Format.TABLE,
) -> None:
    """Show one model with the inputs it takes, one adapter and how to call it, or one run with its result."""
    noun = noun_of(kind, ("models", "adapters", "runs"))
    with connect(ctx) as client:
        found = find(client, noun, name)
        if output is not Format.TABLE:
            print_data(found, output)
        elif noun.named == "name":
            describe_model(found)
        elif noun.named == "address":
            describe_adapter(found, models_for(client, found))
        else:
            describe_run(found, steps_of(client, found))


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
            ("Adapters", _adapters_taken(card.get("adapters") or {})),
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


def _adapters_taken(policy: dict[str, Any]) -> str | None:
    if not policy.get("enabled"):
        return None
    return f"{policy['architecture'] or 'any'}, up to {policy['max_per_call']} in a call, rank {policy['max_rank']}"


def models_for(client: "Client", adapter: dict[str, Any]) -> list[str]:
    """The served models that take the adapter, by what the platform says may be written as `model`."""
    ending = f":{adapter['address']}"
    known = (model["id"] for model in client.get("/v1/models")["data"])
    return [address.removesuffix(ending) for address in known if address.endswith(ending)]


def describe_adapter(adapter: dict[str, Any], models: list[str]) -> None:
    """What was found in the files and said of them, how to call it, and its versions. `models` take it."""
    print_fields(
        [
            ("Name", adapter["address"]),
            ("Title", adapter.get("title")),
            ("Id", adapter["id"]),
            ("Version", None if adapter.get("is_present") else "not the present one"),
            ("Base", adapter.get("base")),
            ("Architecture", adapter.get("architecture")),
            ("Trained on", adapter.get("trained_on")),
            ("Format", adapter.get("format")),
            ("Kinds", adapter.get("kinds")),
            ("Components", adapter.get("components")),
            ("Rank", adapter.get("rank")),
            ("Modules", adapter.get("num_modules")),
            ("Parameters", adapter.get("num_parameters")),
            ("Trigger words", adapter.get("trigger_words")),
            ("Default scale", adapter.get("default_scale")),
            ("Shared with", adapter.get("shared_with")),
            ("Managed by", adapter.get("managed_by")),
            ("Created", adapter.get("created_at")),
            ("Updated", adapter.get("updated_at")),
        ]
    )
    if adapter.get("description"):
        typer.echo("\n" + plain(str(adapter["description"])))
    typer.echo("\nFiles")
    print_table(["name", "bytes", "sha256"], [[f["name"], f["num_bytes"], f["sha256"]] for f in adapter["files"]])
    typer.echo("\nHow to call it")
    _print_calls(adapter, models)
    if adapter.get("versions"):
        typer.echo("\nVersions")
        rows = [[v["digest"], v["num_bytes"], age(v["created_at"])] for v in adapter["versions"]]
        print_table(["digest", "bytes", "age"], rows)


def _print_calls(adapter: dict[str, Any], models: list[str]) -> None:
    if not models:
        typer.echo("No model that is served takes it.")
        return
    name = adapter["address"] if adapter.get("is_present") else f"{adapter['address']}@{adapter['digest']}"
    print_fields(
        [
            ("OpenAI's routes", [f'"model": "{model}:{name}"' for model in models]),
            ("Any call", f'"adapters": [{{"name": "{name}", "scale": {adapter["default_scale"]:g}}}]'),
            ("Here", f"slipway run {models[0]} --adapter {name}"),
        ]
    )


def steps_of(client: "Client", run: dict[str, Any]) -> list[dict[str, Any]]:
    """The steps of a workflow's run; of a model's there are none."""
    if not (path := run["urls"].get("steps")):
        return []
    return listed(client, Noun(path, "label", False, ()), {"limit": _MAX_STEPS})[0]


def describe_run(run: dict[str, Any], steps: Sequence[dict[str, Any]] = ()) -> None:
    """The run as fields, then its input, its output and its steps."""
    print_fields(
        [
            ("Id", run["id"]),
            ("Workflow", run.get("workflow")),
            ("Model", run.get("model")),
            ("Task", run.get("task")),
            ("Adapters", [f"{use['id']} x {use['scale']:g}" for use in run.get("adapters") or ()]),
            ("Status", run.get("status")),
            ("Attempt", run.get("attempt")),
            ("Created", f"{run.get('created_at')} ({age(run.get('created_at'))} ago)"),
            ("Started", run.get("started_at")),
            ("Finished", run.get("finished_at")),
            ("Took", run_time(run)),
            ("Usage", usage_line(run.get("usage"))),
            ("Cost", cost_text(run.get("cost"))),
            ("Error", (run.get("error") or {}).get("message")),
            ("Error code", (run.get("error") or {}).get("code")),
            ("Request", run.get("request_id")),
        ]
    )
    for title, values in (("Input", run.get("input")), ("Output", run.get("output"))):
        if values:
            typer.echo(f"\n{title}")
            print_data({name: value for name, value in values.items() if value is not None}, Format.YAML)
    if steps:
        typer.echo("\nSteps")
        print_table(("step", "type", "status", "tries", "took", "cost", "why"), [_step(step) for step in steps])


def _step(step: dict[str, Any]) -> list[Any]:
    took = None if step["seconds"] is None else f"{step['seconds']:.2f}s"
    why = (step["error"] or {}).get("message") or step["reason"]
    return [step["label"], step["type"], step["status"], step["tries"] or None, took, cost_text(step["cost"]), why]


def cost_text(cost: dict[str, Any] | None) -> str:
    """`$0.00012`, or nothing for what is unpriced."""
    return f"${cost['usd']}" if cost else ""


def usage_line(usage: dict[str, Any] | None) -> str:
    """`12 prompt tokens, 30 completion tokens`."""
    return ", ".join(f"{value:.15g} {name.replace('_', ' ')}" for name, value in (usage or {}).items())
