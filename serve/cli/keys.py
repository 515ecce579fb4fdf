"""`slipway keys`: make, list and revoke API keys."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from serve.cli.exits import CliError, ExitCode
from serve.cli.get import NOUNS, print_rows
from serve.cli.output import Format, Output, note, parse_time, print_data
from serve.cli.session import connect, segment

_DURATION = re.compile(r"([0-9]{1,6})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


OfTenant = Annotated[str | None, typer.Option("--tenant", help="Of another tenant (admin keys only).")]


def register(app: typer.Typer) -> None:
    """Add the command group to `app`."""
    group = typer.Typer(name="keys", help="Make, list and revoke API keys.", no_args_is_help=True)
    group.command()(create)
    group.command("list")(list_keys)
    group.command()(revoke)
    app.add_typer(group)


def create(
    ctx: typer.Context,
    title: Annotated[str, typer.Argument(help="What the key is for.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(
            help="inference, read, adapters.write, keys or admin; repeatable.", show_default="inference, read"
        ),
    ] = None,
    expires: Annotated[
        str | None, typer.Option(help="When it ends: 12h, 30d, or a time as 2027-01-31T00:00:00Z.")
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="For another tenant (admin keys only).")] = None,
    project: Annotated[str | None, typer.Option(help="For another project (admin keys only).")] = None,
    output: Output = Format.TABLE,
) -> None:
    """Make a key with at most the scopes of the one in use. It is printed once and cannot be shown again."""
    asked = {"scopes": scope, "expires_at": expiry(expires), "tenant": tenant, "project": project}
    body = {"title": title} | {name: value for name, value in asked.items() if value is not None}
    with connect(ctx) as client:
        made = client.post("/v1/keys", body)
    if output is not Format.TABLE:
        print_data(made, output)
        return
    typer.echo(made["key"])
    note(f"Key {made['id']} ({', '.join(made.get('scopes') or [])}). Keep it: it is not shown again.")


def list_keys(ctx: typer.Context, tenant: OfTenant = None, output: Output = Format.TABLE) -> None:
    """The tenant's keys, without their secrets."""
    with connect(ctx) as client:
        found = client.get("/v1/keys", {"tenant": tenant})["data"]
    if output is not Format.TABLE:
        print_data(found, output)
        return
    print_rows(NOUNS["keys"], found)


def revoke(
    ctx: typer.Context,
    key_ids: Annotated[list[str], typer.Argument(help="Ids of keys.", metavar="KEY_ID...")],
    tenant: OfTenant = None,
) -> None:
    """End keys. Requests with them are refused within seconds."""
    with connect(ctx) as client:
        for key_id in key_ids:
            client.delete(f"/v1/keys/{segment(key_id)}", {"tenant": tenant})
            typer.echo(f"key/{key_id} revoked")


def expiry(text: str | None) -> str | None:
    """An RFC 3339 time from a duration (`30d`) or a time. Raises CliError (usage)."""
    if text is None:
        return None
    match = _DURATION.fullmatch(text)
    try:
        if match:
            moment = datetime.now(UTC) + timedelta(**{_UNITS[match[2]]: int(match[1])})
        else:
            moment = parse_time(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise CliError(
            f"--expires takes 12h, 30d, or a time as 2027-01-31T00:00:00Z: {text!r}", ExitCode.USAGE
        ) from error
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
