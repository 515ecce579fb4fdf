"""`slipway members`: who is what in a tenant."""

from typing import Annotated

import typer

from serve.cli.keys import OfTenant, of_tenant
from serve.cli.output import Format, Output
from serve.cli.session import connect, segment
from serve.cli.tenants import show

_PATH = "/v1/members"
KeepKeys = Annotated[bool, typer.Option("--keep-keys", help="Leave the keys that the person made.")]
UserId = Annotated[str, typer.Argument(help="The person's id: /v1/me tells it to the person.")]


def register(app: typer.Typer) -> None:
    """Add the command group to `app`."""
    group = typer.Typer(name="members", help="List people, give and take roles.", no_args_is_help=True)
    group.command("list")(list_members)
    group.command("set")(set_role)
    group.command()(remove)
    app.add_typer(group)


def list_members(ctx: typer.Context, tenant: OfTenant = None, output: Output = Format.TABLE) -> None:
    """The tenant's members."""
    with connect(ctx) as client:
        show("members", client.get(_PATH, {"tenant": tenant})["data"], output)


def set_role(
    ctx: typer.Context,
    user_id: UserId,
    role: Annotated[str, typer.Argument(help="viewer, developer or owner.")],
    keep_keys: KeepKeys = False,
    tenant: OfTenant = None,
    output: Output = Format.TABLE,
) -> None:
    """Give a role, which then stays whatever the person's groups say. With an admin key, also to new people.

    Keys that the person made and that may do more than the role end.
    """
    query = of_tenant(tenant) + ("&" if tenant else "?") * keep_keys + "keep_keys=true" * keep_keys
    with connect(ctx) as client:
        show("members", [client.put(f"{_PATH}/{segment(user_id)}{query}", {"role": role})], output)


def remove(
    ctx: typer.Context,
    user_id: UserId,
    keep_keys: KeepKeys = False,
    tenant: OfTenant = None,
) -> None:
    """Let a member go, and end the keys that the person made, and what these made."""
    with connect(ctx) as client:
        client.delete(f"{_PATH}/{segment(user_id)}", {"tenant": tenant, "keep_keys": keep_keys or None})
    typer.echo(f"member/{user_id} removed")
