"""`slipway budgets` and `slipway credits`: what may be spent, and what is paid for already."""

from typing import Annotated, Any

import typer

from serve.cli.exits import CliError, ExitCode
from serve.cli.keys import expiry
from serve.cli.output import Format, Output, note, print_data, print_table
from serve.cli.session import connect, segment

OfTenant = Annotated[str | None, typer.Option("--tenant", help="Of another tenant (admin keys only).")]
Limit = Annotated[str | None, typer.Option("--limit", help="US dollars beyond which calls are refused, as 25.00.")]
SoftLimit = Annotated[str | None, typer.Option("--soft-limit", help="US dollars beyond which it is only told.")]
Title = Annotated[str | None, typer.Option("--title", help="What the budget is for.")]
_NONE = "none"


def register(app: typer.Typer) -> None:
    """Add the command groups to `app`."""
    budgets = typer.Typer(help="Limit what tenants, projects and keys spend.", no_args_is_help=True)
    budgets.command("list")(list_budgets)
    budgets.command()(create)
    budgets.command("set")(change)
    budgets.command()(delete)
    app.add_typer(budgets, name="budgets")
    credit = typer.Typer(help="Credit: see one's own, grant and void it.", no_args_is_help=True)
    credit.command("list")(list_credit)
    credit.command()(grant)
    credit.command()(void)
    app.add_typer(credit, name="credits")


def list_budgets(ctx: typer.Context, tenant: OfTenant = None, output: Output = Format.TABLE) -> None:
    """Budgets, with what is spent of them."""
    with connect(ctx) as client:
        found = client.get("/v1/budgets", {"tenant": tenant})["data"]
    if output is not Format.TABLE:
        print_data(found, output)
        return
    if not found:
        note("There are none: nothing limits what is spent.")
        return
    headings = ("id", "of", "period", "limit", "soft limit", "spent", "held", "remaining", "resets")
    print_table(headings, [_row(budget) for budget in found])


def _row(budget: dict[str, Any]) -> tuple[Any, ...]:
    names = ("limit", "soft_limit", "spent", "held", "remaining")
    amounts = [_dollars(budget.get(name)) for name in names]
    amounts[2] = f"{amounts[2]} (!)" if budget.get("soft_exceeded") else amounts[2]
    return (budget["id"], _owner(budget), budget["period"], *amounts, budget.get("resets_at"))


def _owner(budget: dict[str, Any]) -> str:
    if budget.get("key_id"):
        return f"key {budget['key_id']}"
    return f"project {budget['project']}" if budget.get("project") else f"tenant {budget['tenant']}"


def _dollars(amount: dict[str, Any] | None) -> str | None:
    return None if amount is None else f"${amount['usd']}"


def create(
    ctx: typer.Context,
    period: Annotated[str, typer.Argument(help="day, month or total; days and months are UTC.")],
    limit: Limit = None,
    soft_limit: SoftLimit = None,
    project: Annotated[str | None, typer.Option(help="Only calls of this project.")] = None,
    key: Annotated[str | None, typer.Option("--of-key", help="Only calls with the key of this id.")] = None,
    title: Title = None,
    tenant: OfTenant = None,
    output: Output = Format.TABLE,
) -> None:
    """Make a budget: `slipway budgets create month --limit 100 --soft-limit 80 --project web`."""
    asked = {"limit_usd": limit, "soft_limit_usd": soft_limit, "project": project, "key_id": key}
    asked |= {"title": title, "tenant": tenant}
    body = {"period": period} | {name: value for name, value in asked.items() if value is not None}
    with connect(ctx) as client:
        _told(client.post("/v1/budgets", body), output, "made")


def change(
    ctx: typer.Context,
    budget_id: Annotated[str, typer.Argument(help="The budget's id.")],
    limit: Limit = None,
    soft_limit: SoftLimit = None,
    title: Title = None,
    output: Output = Format.TABLE,
) -> None:
    """Change a budget; `--limit none` takes a limit away."""
    asked = {"limit_usd": limit, "soft_limit_usd": soft_limit, "title": title}
    body = {name: None if value == _NONE else value for name, value in asked.items() if value is not None}
    if not body:
        raise CliError("Say what to set: --limit, --soft-limit or --title.", ExitCode.USAGE)
    with connect(ctx) as client:
        _told(client.patch(f"/v1/budgets/{segment(budget_id)}", body), output, "set")


def _told(budget: dict[str, Any], output: Format, what: str) -> None:
    if output is not Format.TABLE:
        print_data(budget, output)
        return
    limit = _dollars(budget.get("limit")) or "no limit"
    typer.echo(f"budget/{budget['id']} {what}")
    note(f"{limit} per {budget['period']} for {_owner(budget)}; {_dollars(budget['spent'])} is spent.")


def delete(
    ctx: typer.Context, budget_ids: Annotated[list[str], typer.Argument(help="Ids of budgets.", metavar="BUDGET_ID...")]
) -> None:
    """Take budgets away: what they limited is limited no longer."""
    with connect(ctx) as client:
        for budget_id in budget_ids:
            client.delete(f"/v1/budgets/{segment(budget_id)}")
            typer.echo(f"budget/{budget_id} deleted")


def list_credit(ctx: typer.Context, tenant: OfTenant = None, output: Output = Format.TABLE) -> None:
    """What credit the tenant has left, and of which grants."""
    with connect(ctx) as client:
        found = client.get("/v1/credits", {"tenant": tenant})
    if output is not Format.TABLE:
        print_data(found, output)
        return
    rows = [
        (
            one["id"],
            _dollars(one["remaining"]),
            _dollars(one["amount"]),
            one["priority"],
            one["expires_at"],
            one["note"],
        )
        for one in found["grants"]
    ]
    print_table(("id", "remaining", "of", "priority", "expires", "note"), rows)
    held = f", of which {_dollars(found['held'])} is held for calls" if found["held"]["nano_usd"] else ""
    note(f"{found['tenant']} ({found['billing']}): {_dollars(found['remaining'])} left{held}.")


def grant(
    ctx: typer.Context,
    tenant: Annotated[str, typer.Argument(help="Who gets it.")],
    amount: Annotated[str, typer.Argument(help="US dollars, as 25.00.")],
    priority: Annotated[int, typer.Option(min=0, max=100, help="The lowest is drawn first.")] = 0,
    expires: Annotated[str | None, typer.Option(help="When it ends: 30d, or a time as 2027-01-31T00:00:00Z.")] = None,
    remark: Annotated[str | None, typer.Option("--note", help="What it is for.")] = None,
    output: Output = Format.TABLE,
) -> None:
    """Give a tenant credit (admin keys only)."""
    asked = {"expires_at": expiry(expires), "note": remark}
    body = {"tenant": tenant, "amount_usd": amount, "priority": priority}
    with connect(ctx) as client:
        made = client.post("/v1/admin/credits", body | {name: value for name, value in asked.items() if value})
    if output is not Format.TABLE:
        print_data(made, output)
        return
    typer.echo(f"credit/{made['id']} granted")


def void(
    ctx: typer.Context, grant_ids: Annotated[list[str], typer.Argument(help="Ids of grants.", metavar="GRANT_ID...")]
) -> None:
    """Take back what grants have left (admin keys only)."""
    with connect(ctx) as client:
        for grant_id in grant_ids:
            client.delete(f"/v1/admin/credits/{segment(grant_id)}")
            typer.echo(f"credit/{grant_id} voided")
