"""`slipway delete`: stop serving a model, or forget a run."""

from typing import Annotated

import typer

from serve.cli.exits import CliError, ExitCode
from serve.cli.session import connect, segment

_PATHS = {"model": "/v1/admin/documents/Model", "run": "/v1/runs"}


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(delete)


def delete(
    ctx: typer.Context,
    kind: Annotated[str, typer.Argument(help="model or run.", metavar="KIND")],
    names: Annotated[list[str], typer.Argument(help="Names or ids.")],
) -> None:
    """Take models away from what is served, or remove runs with their events and outputs."""
    singular = kind.removesuffix("s")
    if singular not in _PATHS:
        raise CliError(f"{kind!r} cannot be deleted; choose model or run. Keys: `slipway keys revoke`.", ExitCode.USAGE)
    with connect(ctx) as client:
        for name in names:
            client.delete(f"{_PATHS[singular]}/{segment(name)}")
            typer.echo(f"{singular}/{name} deleted")
