"""`slipway up` and `slipway down` as they are declared. What they do is imported when they run.

They need the database, the weights' sources and the HTTP client: seconds of imports that no other command should pay.
"""

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the two commands to `app`."""
    app.command()(up)
    app.command()(down)


def up(
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Leave the platform running in the background.")
    ] = False,
) -> None:
    """Start the platform on this machine and wait until it answers."""
    from serve.cli import up as local_platform

    local_platform.up(detach)


def down() -> None:
    """Stop the platform on this machine."""
    from serve.cli import up as local_platform

    local_platform.down()
