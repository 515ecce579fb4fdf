"""`slipway delete`: stop serving a model, or forget a run or an asset."""

from typing import Annotated

import typer

from serve.cli.exits import CliError, ExitCode
from serve.cli.session import connect, segment

_PATHS = {"model": "/v1/admin/documents/Model", "run": "/v1/runs", "asset": "/v1/assets"}


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(delete)


def delete(
    ctx: typer.Context,
    kind: Annotated[str, typer.Argument(help="model, run or asset.", metavar="KIND")],
    names: Annotated[list[str], typer.Argument(help="Names or ids.")],
) -> None:
    """Take models away from what is served, remove runs with their events and outputs, or assets."""
    singular = kind.removesuffix("s")
    if singular not in _PATHS:
        raise CliError(
            f"{kind!r} cannot be deleted; choose model, run or asset. Keys: `slipway keys revoke`.", ExitCode.USAGE
        )
    with connect(ctx) as client:
        for name in names:
            client.delete(f"{_PATHS[singular]}/{segment(name)}")
            typer.echo(f"{singular}/{name} deleted")
