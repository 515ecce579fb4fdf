"""`slipway tenants`: make, list and change tenants; for administrators."""

from typing import Annotated, Any

import typer

from serve.cli.exits import CliError, ExitCode
from serve.cli.get import NOUNS, print_rows
from serve.cli.keys import ImagesPerMinute, RequestsPerMinute, TokensPerMinute, limits
from serve.cli.output import Format, Output, print_data
from serve.cli.session import connect, segment

_PATH = "/v1/admin/tenants"
Name = Annotated[str, typer.Argument(help="The tenant's name.")]
Billing = Annotated[
    str | None, typer.Option(help="prepaid: nothing beyond the credit; postpaid: billed afterwards.", metavar="HOW")
]

NoLimits = Annotated[bool, typer.Option("--no-limits", help="Take all limits away.")]


def register(app: typer.Typer) -> None:
    """Add the command group to `app`."""
    group = typer.Typer(name="tenants", help="Make, list and change tenants.", no_args_is_help=True)
    group.command()(create)
    group.command("list")(list_tenants)
    group.command("set")(change)
    app.add_typer(group)


def create(
    ctx: typer.Context,
    name: Name,
    billing: Billing = None,
    rpm: RequestsPerMinute = None,
    tpm: TokensPerMinute = None,
    ipm: ImagesPerMinute = None,
    output: Output = Format.TABLE,
) -> None:
    """Make a tenant, with a project `default`."""
    body = {"name": name} | _given(billing, limits(rpm, tpm, ipm))
    with connect(ctx) as client:
        show("tenants", [client.post(_PATH, body)], output)


def list_tenants(ctx: typer.Context, output: Output = Format.TABLE) -> None:
    """Every tenant."""
    with connect(ctx) as client:
        show("tenants", client.get(_PATH)["data"], output)


def change(
    ctx: typer.Context,
    name: Name,
    billing: Billing = None,
    rpm: RequestsPerMinute = None,
    tpm: TokensPerMinute = None,
    ipm: ImagesPerMinute = None,
    no_limits: NoLimits = False,
    output: Output = Format.TABLE,
) -> None:
    """Change how a tenant pays, or its limits: those that are given replace all there were."""
    wanted = limits(rpm, tpm, ipm)
    if no_limits or wanted is not None or billing is None:
        check_limits_said(wanted, no_limits)
    body = _given(billing, wanted) | ({"limits": None} if no_limits else {})
    with connect(ctx) as client:
        show("tenants", [client.patch(f"{_PATH}/{segment(name)}", body)], output)


def check_limits_said(limits: dict[str, int] | None, no_limits: bool) -> None:
    """Raises CliError (usage) unless either limits or that there are none was said: by nothing said, none may go."""
    if no_limits == (limits is not None):
        raise CliError("Give limits (--rpm, --tpm, --ipm), or --no-limits to take all of them away.", ExitCode.USAGE)


def _given(billing: str | None, limits: dict[str, int] | None) -> dict[str, Any]:
    given = {"billing": billing, "limits": limits}
    return {name: value for name, value in given.items() if value is not None}


def show(kind: str, rows: list[dict[str, Any]], output: Format) -> None:
    """Rows of a noun, as a table or as they are."""
    if output is not Format.TABLE:
        print_data(rows, output)
        return
    print_rows(NOUNS[kind], rows)
