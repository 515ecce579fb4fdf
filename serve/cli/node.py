"""`slipway node` and `slipway migrate` as they are declared. What they do is imported when they run."""

from pathlib import Path
from typing import Annotated

import typer

WaitSeconds = Annotated[
    float, typer.Option("--wait-seconds", min=0, help="How long to wait for a database that does not answer yet.")
]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    node = typer.Typer(no_args_is_help=True)
    node.command()(prepare)
    node.command()(drain)
    app.add_typer(node, name="node", help="What a cluster's pods run before Ray starts in them, and before it ends.")
    app.command()(migrate)


def prepare(
    head: Annotated[
        bool, typer.Option("--head", help="Also migrate the database, and see to the administrator's key.")
    ] = False,
    admin_file: Annotated[
        Path | None,
        typer.Option("--admin-file", envvar="SLIPWAY_ADMIN_FILE", help="File with the installation's admin secret."),
    ] = None,
    haproxy_folder: Annotated[
        Path | None,
        typer.Option("--haproxy-folder", help="Where this node's HAProxy keeps its files; unset, where pods have it."),
    ] = None,
    wait_seconds: WaitSeconds = 120.0,
) -> None:
    """Make this node ready for Ray: its folders, HAProxy's launcher and, on the head, what all share.

    It runs in the pods' init container; running it again changes nothing.
    """
    from serve.cli import node_preparation
    from serve.serving.ray_environment import POD_HAPROXY
    from serve.settings import Settings

    settings = Settings()
    node_preparation.prepare_folders(settings)
    if settings.ray.ha_proxy:
        node_preparation.prepare_haproxy(settings, haproxy_folder or Path(POD_HAPROXY.folder))
    if head:
        node_preparation.prepare_head(settings, admin_file, wait_seconds)


def drain(
    seconds: Annotated[float, typer.Option("--seconds", min=0, help="How long open calls may take to end.")] = 120.0,
) -> None:
    """Have Ray move this node's replicas elsewhere, and wait until they have ended what they began.

    It runs before a pod is stopped, and never keeps it from stopping.
    """
    from serve.cli.node_drain import drain_node

    remaining = drain_node(seconds)
    typer.echo(f"{remaining} replicas are still here." if remaining else "No replica is here any more.")


def migrate(wait_seconds: WaitSeconds = 0.0) -> None:
    """Bring the database to this version's schema. Processes that do it together take turns."""
    from serve.cli import node_preparation
    from serve.settings import Settings

    node_preparation.migrate(Settings(), wait_seconds)
