"""`slipway run`: call a model as a durable run, and follow it."""

import json
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from serve.cli import pictures, prices
from serve.cli.arguments import names_of, parse_adapters, parse_inputs, read_text
from serve.cli.describe import cost_text, usage_line
from serve.cli.exits import CliError, ExitCode, Unreachable
from serve.cli.follow import Display, follow
from serve.cli.get import run_time
from serve.cli.output import Format, Output, note, print_data, write_text
from serve.cli.session import connect, segment

if TYPE_CHECKING:
    from serve.cli.client import Client
    from serve.cli.sse import ServerEvent


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(run)


def run(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(help="The model's name, or MODEL:ADAPTER.")],
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            help="name=value, name=@file or name=@- (stdin). A picture's file is uploaded.", metavar="NAME=VALUE..."
        ),
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="What to ask of it.", show_default="the first that takes these inputs")
    ] = None,
    adapter: Annotated[
        list[str] | None,
        typer.Option(help="An adapter to apply, with its scale; repeatable, they add up.", metavar="NAME[=SCALE]"),
    ] = None,
    wait: Annotated[bool, typer.Option(help="Follow the run to its end, or only start it.")] = True,
    webhook: Annotated[str | None, typer.Option(help="A URL that is told how the run ended.")] = None,
    deadline: Annotated[float | None, typer.Option(min=0.001, help="Seconds after which the run is given up.")] = None,
    priority: Annotated[int | None, typer.Option(min=-10, max=10, help="-10 is whenever, 10 is first.")] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="A JSON object of inputs; name=value comes on top.")
    ] = None,
    save: Annotated[
        Path | None, typer.Option(help="Folder for the files that the run makes.", show_default="this folder")
    ] = None,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Say what it would take and cost at the most, and do not run it.")
    ] = False,
    output: Output = Format.TABLE,
) -> None:
    """Run a model: `slipway run smollm2-135m-instruct prompt="Why is the sky blue?" max_tokens=64`.

    Text models print their answer as it is written. prompt=... and system=... are short for a chat's messages.

    Image models save their pictures and print the files' names: `slipway run shapes-sd prompt="a red circle"
    num_images=4 --save out`. With a picture to start from: `... image=@cat.png strength=0.5`. With -o json or yaml
    files are saved only with --save. Adapters: `... --adapter stripes --adapter acme/outline=0.5`.

    Ctrl-C asks whether to cancel the run or to leave it running.
    """
    with connect(ctx) as client:
        body = _request(client, model, task, inputs or [], file)
        body |= _options(deadline, priority, webhook, adapter or [])
        if estimate:
            _print_plan(client.post(f"/v1/models/{segment(model)}/plan", body), output)
        elif wait:
            _follow_to_end(client, _started(client, model, body), save, output)
        else:
            print_started(_started(client, model, body), output)


def _options(deadline: float | None, priority: int | None, webhook: str | None, adapters: list[str]) -> dict[str, Any]:
    """What a run's body holds besides its inputs, as far as it was given."""
    options: dict[str, Any] = {"deadline_s": deadline, "priority": priority}
    options |= {"webhook": {"url": webhook} if webhook else None, "adapters": parse_adapters(adapters) or None}
    return {name: value for name, value in options.items() if value is not None}


def _print_plan(plan: dict[str, Any], output: Format) -> None:
    if output is not Format.TABLE:
        print_data(plan, output)
    else:
        prices.print_plan(plan)


def _follow_to_end(client: "Client", started: dict[str, Any], folder: Path | None, output: Format) -> None:
    finished = watch(client, started, Display(quiet=output is not Format.TABLE))
    if finished is None:
        return
    if folder is not None or output is Format.TABLE:
        _save(client, finished, folder or Path(), output)
    end(finished, output)


def _save(client: "Client", finished: dict[str, Any], folder: Path, output: Format) -> None:
    for path in pictures.save(client, finished, folder):
        if output is Format.TABLE:
            typer.echo(str(path))
        else:
            note(f"saved {path}")


def _request(client: "Client", model: str, task: str | None, words: list[str], file: Path | None) -> dict[str, Any]:
    card = client.get(f"/v1/catalog/{segment(model.partition(':')[0])}")
    base = inputs_from(file) if file else {}
    chosen = task or _task_for(card, names_of(words) | base.keys())
    if chosen not in card["inputs"]:
        raise CliError(f"{model} does not do {chosen!r}. It does: {', '.join(card['tasks'])}.", ExitCode.USAGE)
    shortened = chosen == "chat" and "messages" not in base
    schema = _with_short_forms(card["inputs"][chosen]) if shortened else card["inputs"][chosen]
    inputs = base | parse_inputs(words, schema, upload=lambda name: pictures.upload(client, name))
    return {"task": chosen, "input": chat_messages(inputs) if shortened else inputs}


def _task_for(card: dict[str, Any], names: set[str]) -> str:
    """The first task that takes every input of these names, or else the first."""
    tasks: list[str] = card["tasks"]
    for task in tasks:
        schema = _with_short_forms(card["inputs"][task]) if task == "chat" else card["inputs"][task]
        if names <= (schema.get("properties") or {}).keys():
            return task
    return tasks[0]


def inputs_from(file: Path) -> dict[str, Any]:
    """The inputs that a JSON file holds. Raises CliError (usage)."""
    try:
        value = json.loads(read_text(str(file)))
    except ValueError as error:
        raise CliError(f"{file} is not JSON: {error}", ExitCode.USAGE) from error
    if not isinstance(value, dict):
        raise CliError(f"{file} holds no JSON object of inputs.", ExitCode.USAGE)
    return value


def _with_short_forms(schema: Mapping[str, Any]) -> dict[str, Any]:
    fields = schema.get("properties") or {}
    return {**schema, "properties": {**fields, "prompt": {"type": "string"}, "system": {"type": "string"}}}


def chat_messages(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """`inputs` with `system` and `prompt` turned into messages, before and after those that are there."""
    rest = {name: value for name, value in inputs.items() if name not in ("prompt", "system")}
    messages = list(rest.get("messages") or [])
    if "system" in inputs:
        messages.insert(0, {"role": "system", "content": inputs["system"]})
    if "prompt" in inputs:
        messages.append({"role": "user", "content": inputs["prompt"]})
    return rest | ({"messages": messages} if messages else {})


def _started(client: "Client", model: str, body: dict[str, Any]) -> dict[str, Any]:
    return start(client, f"/v1/models/{segment(model)}/runs", body)


def start(client: "Client", path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Start a run. The idempotency key lets one retry join the run that a lost answer had started."""
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    try:
        return client.post(path, body, headers)
    except Unreachable:
        return client.post(path, body, headers)


def print_started(started: dict[str, Any], output: Format) -> None:
    """The id of a run that goes on by itself."""
    if output is not Format.TABLE:
        print_data(started, output)
        return
    typer.echo(started["id"])
    note(f"{started['status']}; `slipway describe run {started['id']}` shows how it is doing.")


class Shows(Protocol):
    """Whatever shows a run's events to a person."""

    def show(self, event: "ServerEvent") -> None:
        """Show one event."""

    def close(self) -> None:
        """Leave the terminal to others."""


def watch(client: "Client", started: dict[str, Any], display: Display) -> dict[str, Any] | None:
    """Follow a model's run to its end, print what was not streamed, and give the run; None if the person detached."""
    finished = followed(client, started, display)
    if finished is not None and not display.quiet:
        _print_rest(finished.get("output"), has_text=display.num_chars > 0)
    return finished


def followed(client: "Client", started: dict[str, Any], display: Shows) -> dict[str, Any] | None:
    """Follow a run to its end and give it, finished; None if the person detached."""
    run_id, after = started["id"], ""
    while True:
        try:
            for event in follow(client, run_id, after):
                after = event.id or after
                display.show(event)
            display.close()
            return client.get(f"/v1/runs/{segment(run_id)}")
        except KeyboardInterrupt:
            display.close()
            if not _wants_cancel():
                note(f"Detached. The run goes on: slipway describe run {run_id}")
                return None
            client.post(f"/v1/runs/{segment(run_id)}/cancel")
        finally:
            display.close()


def _wants_cancel() -> bool:
    """What Ctrl-C means. Where nobody can be asked, the run goes on: work is never lost by accident."""
    if not _can_ask():
        return False
    try:
        answer: str = typer.prompt("\nCancel the run (c), or detach and leave it running (d)?", default="d", err=True)
    except (typer.Abort, KeyboardInterrupt, EOFError):
        typer.echo(err=True)
        return False
    return answer.strip().lower().startswith("c")


def _can_ask() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _print_rest(output: dict[str, Any] | None, has_text: bool) -> None:
    """Of the outputs, what was not streamed: further choices, tool calls, vectors, or text if none came."""
    if output is None or "artifacts" in output:
        return
    if "choices" not in output:
        print_data(output, Format.JSON)
        return
    for choice in output["choices"]:
        if choice.get("text") and not (has_text and choice["index"] == 0):
            label = f"[{choice['index'] + 1}] " if choice["index"] else ""
            write_text(label + choice["text"].rstrip("\n") + "\n")
        if choice.get("tool_calls"):
            print_data(choice["tool_calls"], Format.JSON)


def end(finished: dict[str, Any], output: Format) -> None:
    """Print how a run ended. Raises CliError if it failed or was canceled."""
    if output is not Format.TABLE:
        print_data(finished, output)
    else:
        parts = [finished["id"], finished["status"], usage_line(finished.get("usage"))]
        parts += [cost_text(finished.get("cost")), run_time(finished) or ""]
        note(" · ".join(part for part in parts if part))
    if finished["status"] == "succeeded":
        return
    error = finished.get("error") or {}
    details = "  ".join(
        f"{name}: {error[key]}" for name, key in (("code", "code"), ("field", "param")) if error.get(key)
    )
    message = error.get("message") or f"The run was {finished['status']}."
    raise CliError(message, ExitCode.RUN_FAILED, details)
