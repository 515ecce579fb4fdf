"""`slipway doctor`: what is missing on this machine, and what to do."""

from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import typer

from serve.cli.context import LOOPBACK, Context
from serve.cli.exits import CliError, ExitCode
from serve.cli.output import Format, Output, print_data, print_table
from serve.cli.session import context_of

if TYPE_CHECKING:
    from serve.cli.findings import Finding


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(doctor)


def doctor(ctx: typer.Context, output: Output = Format.TABLE) -> None:
    """Check this machine and the platform. Ends with 1 if something essential is missing."""
    from serve.cli.findings import State, judge
    from serve.cli.machine import read_facts
    from serve.settings import Settings

    context = context_of(ctx)
    platform, facts = platform_findings(context), read_facts(Settings())
    is_up = all(item.state is State.OK for item in platform)
    facts = replace(facts, port_is_ours=is_up and _is_here(context, facts.port))
    findings = [*judge(facts), *platform]
    if output is Format.TABLE:
        print_table(["check", "state", "found"], [(item.check, item.state.value, item.found) for item in findings])
        _print_advice(findings)
    else:
        names = ("check", "state", "found", "advice")
        print_data([{name: str(getattr(item, name)) for name in names} for item in findings], output)
    if any(item.state is State.MISSING for item in findings):
        raise typer.Exit(ExitCode.FAILED)


def _is_here(context: Context, port: int) -> bool:
    parts = urlsplit(context.url)
    return parts.hostname in LOOPBACK and parts.port == port


def _print_advice(findings: "list[Finding]") -> None:
    for item in findings:
        if item.advice:
            typer.echo(f"\n{item.check}: {item.advice}")


def platform_findings(context: Context) -> "list[Finding]":
    """Whether a platform answers, and whether it takes the key. None running is a remark, a wrong key is a fault."""
    from serve.cli.client import Client
    from serve.cli.findings import Finding, State

    with Client(context) as client:
        try:
            models = client.get("/v1/models")["data"]
        except CliError as error:
            if error.exit_code is ExitCode.REFUSED:
                return [Finding("API key", State.MISSING, error.message, _key_advice(context))]
            return [Finding("Platform", State.WARNING, error.message, error.details)]
    names = ", ".join(model["id"] for model in models) or "no models"
    return [Finding("Platform", State.OK, f"{context.url} serves {names}")]


def _key_advice(context: Context) -> str:
    if context.key is None:
        return "Set SLIPWAY_API_KEY, or run `slipway up` on this machine: it saves the key it makes."
    return "Ask for a new key (`slipway keys create` with a key that works), and set SLIPWAY_API_KEY."
