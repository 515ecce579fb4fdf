"""`slipway delete`: stop serving a model, or forget an adapter, a workflow, a run or an asset."""

from collections.abc import Callable
from typing import Annotated

import typer

from serve.cli.exits import CliError, ExitCode
from serve.cli.session import adapter_path, connect, segment

_PATHS: dict[str, Callable[[str], str]] = {
    "model": lambda name: f"/v1/admin/documents/Model/{segment(name)}",
    "adapter": adapter_path,
    "workflow": lambda name: f"/v1/workflows/{segment(name)}",
    "run": lambda name: f"/v1/runs/{segment(name)}",
    "asset": lambda name: f"/v1/assets/{segment(name)}",
}


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(delete)


def delete(
    ctx: typer.Context,
    kind: Annotated[str, typer.Argument(help="model, adapter, workflow, run or asset.", metavar="KIND")],
    names: Annotated[
        list[str], typer.Argument(help="Names or ids; an adapter's as NAME, or NAME@sha256:... for one version.")
    ],
) -> None:
    """Take models away from what is served, remove runs with their events and outputs, adapters, or assets.

    What runs with an adapter keeps it to its end; nothing new can name it.
    """
    singular = kind.removesuffix("s")
    if singular not in _PATHS:
        raise CliError(
            f"{kind!r} cannot be deleted; choose {', '.join(_PATHS)}. Keys: `slipway keys revoke`.", ExitCode.USAGE
        )
    with connect(ctx) as client:
        for name in names:
            client.delete(_PATHS[singular](name))
            typer.echo(f"{singular}/{name} deleted")
