"""`slipway keys`: make, list, rotate and revoke API keys."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from serve.cli.exits import CliError, ExitCode
from serve.cli.get import NOUNS, print_rows
from serve.cli.output import Format, Output, note, parse_time, print_data
from serve.cli.session import connect, segment

_DURATION = re.compile(r"([0-9]{1,6})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


RequestsPerMinute = Annotated[int | None, typer.Option("--rpm", min=0, help="Requests a minute, at the most.")]
TokensPerMinute = Annotated[int | None, typer.Option("--tpm", min=0, help="Tokens a minute, at the most.")]
ImagesPerMinute = Annotated[int | None, typer.Option("--ipm", min=0, help="Images a minute, at the most.")]
OfTenant = Annotated[str | None, typer.Option("--tenant", help="Of another tenant (admin keys only).")]


def register(app: typer.Typer) -> None:
    """Add the command group to `app`."""
    group = typer.Typer(name="keys", help="Make, list, rotate and revoke API keys.", no_args_is_help=True)
    group.command()(create)
    group.command("list")(list_keys)
    group.command()(rotate)
    group.command()(revoke)
    app.add_typer(group)


def create(
    ctx: typer.Context,
    title: Annotated[str, typer.Argument(help="What the key is for.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(
            help="inference, read, adapters.write, workflows.write, keys, budgets, members or admin; repeatable.",
            show_default="inference, read",
        ),
    ] = None,
    expires: Annotated[
        str | None, typer.Option(help="When it ends: 12h, 30d, or a time as 2027-01-31T00:00:00Z.")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="A model that it may use, as NAME, or NAME:* with adapters too; repeatable. All by default."),
    ] = None,
    rpm: RequestsPerMinute = None,
    tpm: TokensPerMinute = None,
    ipm: ImagesPerMinute = None,
    tenant: Annotated[str | None, typer.Option(help="For another tenant (admin keys only).")] = None,
    project: Annotated[str | None, typer.Option(help="For another project (admin keys only).")] = None,
    output: Output = Format.TABLE,
) -> None:
    """Make a key with at most the scopes of the one in use. It is printed once and cannot be shown again."""
    asked: dict[str, Any] = {"scopes": scope, "expires_at": expiry(expires), "tenant": tenant, "project": project}
    asked |= {"models": model or None, "limits": limits(rpm, tpm, ipm)}
    body = {"title": title} | {name: value for name, value in asked.items() if value is not None}
    with connect(ctx) as client:
        made = client.post("/v1/keys", body)
    _show(made, output)


def rotate(
    ctx: typer.Context,
    key_id: Annotated[str, typer.Argument(help="The key's id.")],
    grace: Annotated[str, typer.Option(help="How long the old key goes on: 0s, 1h, 7d.")] = "1h",
    tenant: OfTenant = None,
    output: Output = Format.TABLE,
) -> None:
    """Make another key that may do the same; the old one ends when the grace period is over."""
    path = f"/v1/keys/{segment(key_id)}/rotate{of_tenant(tenant)}"
    with connect(ctx) as client:
        made = client.post(path, {"grace_seconds": _seconds(grace)})
    _show(made, output)


def _show(made: dict[str, Any], output: Format) -> None:
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
    made_keys: Annotated[
        bool, typer.Option("--made-keys", help="End the keys that they made, too: for a key that got out.")
    ] = False,
    tenant: OfTenant = None,
) -> None:
    """End keys. Requests with them are refused within seconds."""
    with connect(ctx) as client:
        for key_id in key_ids:
            client.delete(f"/v1/keys/{segment(key_id)}", {"tenant": tenant, "made_keys": made_keys or None})
            typer.echo(f"key/{key_id} revoked")


def limits(rpm: int | None, tpm: int | None, ipm: int | None) -> dict[str, int] | None:
    """The `limits` of a body; None where none is given."""
    given = {"requests_per_minute": rpm, "tokens_per_minute": tpm, "images_per_minute": ipm}
    return {name: value for name, value in given.items() if value is not None} or None


def of_tenant(tenant: str | None) -> str:
    """The query that names another tenant."""
    return "" if tenant is None else f"?tenant={segment(tenant)}"


def _seconds(text: str) -> float:
    match = _DURATION.fullmatch(text)
    if match is None:
        raise CliError(f"--grace takes a time as 30m, 1h or 7d: {text!r}", ExitCode.USAGE)
    return timedelta(**{_UNITS[match[2]]: int(match[1])}).total_seconds()


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
