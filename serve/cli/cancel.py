"""`slipway cancel`: stop a run."""

from typing import Annotated

import typer

from serve.cli.session import connect, segment


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(cancel)


def cancel(
    ctx: typer.Context,
    run_id: Annotated[str, typer.Argument(help="The run's id.", metavar="RUN")],
) -> None:
    """Ask a run to stop; it is canceled within a step or a token."""
    with connect(ctx) as client:
        run = client.post(f"/v1/runs/{segment(run_id)}/cancel")
    typer.echo(f"run/{run_id} {run.get('status')}" + (" (stopping)" if run.get("status") == "running" else ""))
