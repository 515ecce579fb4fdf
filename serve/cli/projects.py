"""`slipway projects`: make, list and limit the projects of a tenant."""

from typing import Annotated

import typer

from serve.cli.keys import ImagesPerMinute, OfTenant, RequestsPerMinute, TokensPerMinute, limits, of_tenant
from serve.cli.output import Format, Output
from serve.cli.session import connect, segment
from serve.cli.tenants import NoLimits, check_limits_said, show

_PATH = "/v1/projects"
Name = Annotated[str, typer.Argument(help="The project's name.")]


def register(app: typer.Typer) -> None:
    """Add the command group to `app`."""
    group = typer.Typer(name="projects", help="Make, list and limit projects.", no_args_is_help=True)
    group.command()(create)
    group.command("list")(list_projects)
    group.command("set")(change)
    app.add_typer(group)


def create(
    ctx: typer.Context,
    name: Name,
    rpm: RequestsPerMinute = None,
    tpm: TokensPerMinute = None,
    ipm: ImagesPerMinute = None,
    tenant: OfTenant = None,
    output: Output = Format.TABLE,
) -> None:
    """Make a project: keys, budgets and usage are of one."""
    body = {"name": name, "limits": limits(rpm, tpm, ipm)}
    with connect(ctx) as client:
        show("projects", [client.post(_PATH + of_tenant(tenant), body)], output)


def list_projects(ctx: typer.Context, tenant: OfTenant = None, output: Output = Format.TABLE) -> None:
    """The tenant's projects."""
    with connect(ctx) as client:
        show("projects", client.get(_PATH, {"tenant": tenant})["data"], output)


def change(
    ctx: typer.Context,
    name: Name,
    rpm: RequestsPerMinute = None,
    tpm: TokensPerMinute = None,
    ipm: ImagesPerMinute = None,
    no_limits: NoLimits = False,
    tenant: OfTenant = None,
    output: Output = Format.TABLE,
) -> None:
    """Set a project's limits: all of them, so that those not given are none."""
    wanted = limits(rpm, tpm, ipm)
    check_limits_said(wanted, no_limits)
    with connect(ctx) as client:
        path = f"{_PATH}/{segment(name)}{of_tenant(tenant)}"
        show("projects", [client.patch(path, {"limits": wanted})], output)
